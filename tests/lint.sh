#!/bin/bash
# Format, warnings of two compilers, static analysis and the layering that the layout promises.
# Accepted findings of the analyser stand in tests/lint-baseline.txt, each with its reason.
# usage: tests/lint.sh
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/build/lint
jobs=$(nproc)
passed=0 failed=0
mkdir -p "$out"
unset MAKEFLAGS MAKELEVEL MFLAGS

# Run a check; show what it said only when it failed.
check() { # WHAT COMMAND...
    local what=$1
    shift
    if "$@" >"$out/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $what"
    else
        failed=$((failed + 1))
        echo "FAILED  $what"
        sed 's/^/        /' "$out/log"
    fi
}

c_files() {
    git ls-files -co --exclude-standard "$@" | while read -r f; do [ ! -e "$f" ] || echo "$f"; done
}

formatted() { c_files '*.c' '*.h' | xargs clang-format --dry-run -Werror; }
compiles() { make --no-print-directory -k -j"$jobs" CC="$1" OBJ="$2" compile; }

# --- static analysis ------------------------------------------------------------------------

# How each file is compiled, for clang-tidy, from what make would run.
compile_commands() {
    make -nB --no-print-directory V=1 CC=clang OBJ=build/obj/lint-clang compile |
        sed -n 's/.* -c -o [^ ]* \([^ ]*\.c\)$/&\n\1/p' | grep -v -e ' build/gen/' -e '^build/gen/' |
        paste -d '\n' - - | sed 's/["\\]/\\&/g' | paste -d '\t' - - |
        awk -F '\t' -v root="$PWD" 'BEGIN {print "["} {
            printf "%s{\"directory\":\"%s\",\"file\":\"%s\",\"command\":\"%s\"}\n",
                (NR > 1 ? "," : ""), root, $2, $1 } END {print "]"}' >"$out/compile_commands.json"
}

# Findings as "file check", less the baseline's; an entry without a finding is an error too.
analysed() {
    compile_commands
    sed -n 's/.*"file":"\([^"]*\)".*/\1/p' "$out/compile_commands.json" |
        xargs -P "$jobs" -n 1 clang-tidy --quiet -p "$out" >"$out/tidy" 2>"$out/tidy.errors" || true
    grep -E ': (warning|error): ' "$out/tidy" | sed "s|^$PWD/||" | sort -u >"$out/findings" || true
    sed -n 's/^\([^:]*\):.* \[\([^],]*\).*\]$/\1 \2/p' "$out/findings" | sort -u >"$out/found"
    sed -e '/^#/d' -e '/^$/d' -e 's/^\([^ ]* [^ ]*\) .*/\1/' tests/lint-baseline.txt |
        sort -u >"$out/accepted"
    comm -13 "$out/found" "$out/accepted" | sed 's/^/in the baseline but no longer found: /'
    comm -23 "$out/found" "$out/accepted" | while read -r file name; do
        grep "^$file:.*$name" "$out/findings"
    done
    cmp -s "$out/found" "$out/accepted"
}

# --- layering -------------------------------------------------------------------------------

# No file but those that match ALLOWED may include the header.
included_only_by() { # HEADER ALLOWED
    local found
    found=$(c_files '*/*.c' '*/*.h' | grep -v '^tests/' | xargs grep -lE "#include [<\"]$1[>\"]" |
        grep -vE "$2" || true)
    if [ -n "$found" ]; then
        echo "$1 is included by:" && echo "$found"
        return 1
    fi
}

layered() {
    local ok=0
    included_only_by '(mysql|mysql/mysql|mariadb/mysql)\.h' '^common/db[a-z_]*\.c$' || ok=1
    included_only_by 'hiredis(/[a-z_/]+)?\.h' '^common/redis[a-z_]*\.c$' || ok=1
    included_only_by 'sqlite3\.h' '^common/sqlite\.c$' || ok=1
    included_only_by 'mongoc(/[a-z]+)?\.h' '^scribe/history_mongo(_rooms)?\.[ch]$' || ok=1
    return $ok
}

# The common library knows no service.
common_is_common() {
    ! grep -rniE '\b(scribe|delivery|dicom|vault|student|portal|hub)(\b|_)' common
}

# What stops at the first difference compares nothing that somebody may guess (common/secret.h).
secrets_compared() {
    local calls='\b(mem|b|str|strn|strcase|strncase)cmp\([^;)]*'
    local words='\b(mac|stored|secret|verifier|given|expected|commitment|signature|root|data_key)\b'
    ! c_files '*/*.c' | grep -v '^tests/' | xargs grep -nE "$calls$words"
}

# One service does not include another's headers.
services_apart() {
    local service header ok=0
    for service in scribe delivery-hub dicom-vault student-portal; do
        for header in $(grep -rhoE '#include "[^"]+"' "$service" | cut -d '"' -f 2 | sort -u); do
            [ -e "$service/$header" ] || [ -e "common/$header" ] ||
                [ "$header" = "${service//-/_}_embed.h" ] || [ "$header" = "${service}_embed.h" ] ||
                { echo "$service includes $header" && ok=1; }
        done
    done
    return $ok
}

scripts_clean() {
    git ls-files -co --exclude-standard | xargs grep -lE '^#!/bin/(ba)?sh' |
        xargs shellcheck --severity=warning
}

check 'clang-format' formatted
check 'gcc, no warning' compiles gcc build/obj/release
check 'clang, no warning' compiles clang build/obj/lint-clang
check 'clang-tidy, nothing new' analysed
check "clients' headers only in their adapters" layered
check 'common names no service' common_is_common
check 'no service includes another' services_apart
check 'secrets compared in constant time' secrets_compared
check 'shellcheck' scripts_clean
check 'what the documents name is there' python3 -B tests/lint_docs.py
echo "lint: $passed passed, $failed failed"
[ $failed = 0 ]
