#!/bin/bash
# Run every fuzz target for SECONDS over its corpus and regressions. What it finds stays in
# build/fuzz/found/<component>/<target>/: copy a crasher to tests/fuzz/regressions/.
# usage: tests/fuzz/run.sh SECONDS
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-10}
make --no-print-directory -j"$(nproc)" VARIANT=fuzz fuzzers

passed=0 failed=0
for source in tests/fuzz/*/fuzz_*.c; do
    target=${source#tests/fuzz/}
    target=${target%.c}
    found=build/fuzz/found/$target
    mkdir -p "$found" "build/fuzz/corpus/$target"
    folders=("build/fuzz/corpus/$target")
    for seeds in "tests/fuzz/corpus/$target" "tests/fuzz/regressions/$target"; do
        if [ -d "$seeds" ]; then folders+=("$seeds"); fi
    done
    if "build/fuzz/fuzz/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
        -artifact_prefix="$found/" "${folders[@]}" >"$found/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $target: $(grep -o 'Done [0-9]* runs' "$found/log")"
    else
        failed=$((failed + 1))
        echo "FAILED  $target"
        tail -n 40 "$found/log"
    fi
done
echo "fuzz: $passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
