#!/bin/bash
# Build with MySQL's own client library, and run what speaks SQL on MySQL's own server. Debian has
# both in unstable alone: make test-mysql calls this in a chroot of it. (The chat server speaks no
# SQL, and unstable's MongoDB client is of another major version than it is written for.)
set -euo pipefail
cd "$(dirname "$0")/.."
tests/setup.sh mysql
make -j2 VARIANT=asan build/asan/{delivery-hub,student-portal} build/asan/harness/probe_db
mysqld --version
export TEST_MYSQL=1 VARIANT=asan
# Of the portal's, attendance asks for MariaDB's own counts of rows, login for the release build.
exec build/venv/bin/python -B -m pytest -q tests/integration/test_common_db.py \
    tests/integration/test_hub_{api,assign,events,faults,gate,history,idempotency,plans,race,reads}.py \
    tests/integration/test_portal_{checkin,courses,faults,guarantees,near,people,routes,schema}.py
