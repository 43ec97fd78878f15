#!/bin/bash
# All tests on the ASan and UBSan build, or the threaded ones on the TSan build.
# usage: tests/run.sh [asan|tsan [NAME]]; with NAME only the integration tests of that name
set -euo pipefail
cd "$(dirname "$0")/.."
export VARIANT=${1:-asan}
jobs=-j$(nproc)
log=build/$VARIANT/unit.log
failed=()

# GNU make passes what it was called with on to children in MAKEFLAGS; we call it anew.
unset MAKEFLAGS MAKELEVEL MFLAGS
make --no-print-directory "$jobs" all unit-tests
# Tests marked `release` take figures that the sanitizers would distort; so would the proofs be.
if [ "$VARIANT" = asan ]; then
    make --no-print-directory "$jobs" fuzzers
    make --no-print-directory "$jobs" VARIANT=release all proof-programs
fi

if [ -n "${2:-}" ]; then
    exec build/venv/bin/python -B -m pytest -v -k "$2" tests/integration
fi

# One program of the unit tests: cmocka's own closing line, everything when it failed.
unit() {
    local program=$1
    echo "${program#build/}"
    if ! ${plain_addresses:-} "$program" >"$log" 2>&1 || ! grep '^\[  PASSED  \]' "$log"; then
        cat "$log"
        failed+=("$program")
    fi
}

# One fuzz target over its seeds and the inputs that once broke it.
replay() {
    local program=$1 target=${1#build/*/fuzz/} folders=() folder
    for folder in "tests/fuzz/corpus/$target" "tests/fuzz/regressions/$target"; do
        if [ -d "$folder" ]; then folders+=("$folder"); fi
    done
    if "$program" "${folders[@]}" >"$log" 2>&1; then
        echo "${program#build/}: $(cat "$log")"
    else
        cat "$log"
        failed+=("$program")
    fi
}

# The binaries of today's sources, not those of a test that was renamed.
programs() { # KIND PREFIX
    local source
    for source in tests/"$1"/*/"$2"*.c; do
        source=${source#tests/}
        if [ -e "tests/$source" ]; then echo "build/$VARIANT/${source%.c}"; fi
    done
}

integration=(tests/integration)
if [ "$VARIANT" = tsan ]; then
    # TSan of gcc 12 and 13 aborts when the kernel randomises addresses too widely.
    plain_addresses='setarch -R'
    export TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp ${TSAN_OPTIONS:-}"
    integration=(tests/integration/test_scribe_*.py)
fi

for program in $(programs unit ''); do unit "$program"; done
if [ "$VARIANT" = asan ]; then
    for program in $(programs fuzz fuzz_); do replay "$program"; done
fi
for program in "${failed[@]}"; do echo "FAILED $program"; done

# Two processes with stores of their own: much of a test is waiting, for a store to die or to start.
build/venv/bin/python -B -m pytest -q --numprocesses=2 --dist=loadfile --durations=10 \
    "${integration[@]}" || failed+=(pytest)
[ ${#failed[@]} = 0 ]
