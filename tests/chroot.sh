#!/bin/bash
# Run a command (default: make test, then make demo ONCE=1) on a clean Debian or Ubuntu SUITE in a
# chroot under build/chroot, over a copy of this checkout. Needs root. The network is the host's,
# so that no demo may run meanwhile. The bare system is kept for next time, all else removed.
# usage: tests/chroot.sh SUITE [COMMAND]
set -euo pipefail
cd "$(dirname "$0")/.."
suite=${1:?usage: tests/chroot.sh SUITE [COMMAND]}
command=${2:-make test && make demo ONCE=1}
base=$PWD/build/chroot/$suite
root=$base.run

if [ "$(id -u)" != 0 ]; then
    echo 'error: a chroot needs root' >&2
    exit 1
fi
if [ ! -d "$base" ]; then
    echo "Laying $base with debootstrap"
    rm -rf "$base.new"
    mkdir -p "$base.new"
    # Only what a person has who was told to clone and to type make.
    debootstrap --variant=minbase --include=make,git,ca-certificates "$suite" "$base.new" \
        >build/chroot/debootstrap.log 2>&1 || {
        tail build/chroot/debootstrap.log >&2
        exit 1
    }
    # Unstable is whatever its mirror has, which may be of some weeks ago.
    if [ "$suite" = sid ]; then
        echo 'Acquire::Check-Valid-Until "false";' >"$base.new/etc/apt/apt.conf.d/50mirror"
    fi
    mv "$base.new" "$base"
fi

trap 'rm -rf --one-file-system "$root"' EXIT
rm -rf --one-file-system "$root"
cp -a "$base" "$root"
mkdir "$root/root/checkout"
git ls-files -co --exclude-standard -z | tar -c --null -T - | tar -x -C "$root/root/checkout"
for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
    cp -L "$file" "$root$file"
done

# In namespaces of their own, mounts and processes go when the command ends, however it ends.
# shellcheck disable=SC2016 # expanded inside
unshare --mount --pid --fork --kill-child bash -c '
    mount --bind "$1" "$1" # a root that is a mount, as tests with mounts of their own need
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    exec chroot "$1" env -u LD_PRELOAD HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        bash -c "cd /root/checkout && $2"
' chroot "$root" "$command"
