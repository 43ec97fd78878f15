#!/usr/bin/python3
"""The tour through the gateway; prints PASS or FAIL last, and exits so."""

import subprocess
import sys

GATEWAY = "http://gateway"
TOUR = ["/opt/tour.py", "--scribe", f"{GATEWAY}:8101", "--scribe", f"{GATEWAY}:8102",
        "--hub", f"{GATEWAY}:8200", "--vault", f"{GATEWAY}:8300", "--portal", f"{GATEWAY}:8400",
        "--vault-key", "/secrets/demo/vault.apikey", "--vault-data", "/data"]
PLACES = [
    (8080, "front page: all of it, with buttons"),
    (8100, "chat, on any server; 8101 and 8102 are one each: ada, grace, linus, barbara"),
    (8200, "orders: customer carla, partners p1 to p50, dispatcher dora"),
    (8300, "files; an API key: docker compose run --rm demo cat /secrets/demo/vault.apikey"),
    (8400, "attendance: students ana, ben; faculty frank; admin alma; password demo-password"),
]


def main():
    code = subprocess.run([sys.executable, *TOUR]).returncode
    for port, what in PLACES:
        print(f"  http://localhost:{port}/  {what}")
    print("  end it and leave nothing: docker compose --profile demo down -v")
    print("PASS" if code == 0 else "FAIL", flush=True)
    return code


sys.exit(main())
