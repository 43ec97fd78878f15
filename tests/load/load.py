"""All benchmarks, one after the other, then build/load/report.html and results.json."""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import report
from harness.process import BUILD

HERE = Path(__file__).resolve().parent
OUT = BUILD / "load"
NAMES = ("scribe", "hub", "vault", "portal")
QUICK = os.environ.get("QUICK", "0") not in ("", "0")
LIMIT_S = 120 if QUICK else 300  # of each


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    started, failed, rows = time.monotonic(), [], []
    for name in NAMES:
        print(f"bench-{name} ({time.monotonic() - started:.0f} s so far)", flush=True)
        try:
            subprocess.run([sys.executable, "-B", "-m", f"load.bench_{name}"], check=True,
                           timeout=LIMIT_S, env={**os.environ, "BENCH_FORM": "load"})
            rows += json.loads((OUT / f"{name}.json").read_text())
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            failed.append(f"bench-{name}: {error}")
    (OUT / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    report.write(OUT / "report.html", rows,
                 f"{os.cpu_count()} processors ({cpu_model()}), {platform.system()} "
                 f"{platform.release()}", "make load QUICK=1" if QUICK else "make load")
    print(*failed, f"written: {OUT.relative_to(BUILD.parent)}/report.html and results.json, "
          f"{len(rows)} figures, {time.monotonic() - started:.0f} s", sep="\n", flush=True)
    return 1 if failed else 0


sys.exit(main())
