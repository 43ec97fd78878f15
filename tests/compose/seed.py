#!/usr/bin/python3
"""The demo's accounts and a term of attendance, once."""

import sys
from pathlib import Path
from urllib.parse import urlsplit

import pymysql
from pymysql.constants import CLIENT


def main():
    at = urlsplit(Path("/secrets/portal/mysql.url").read_text().strip())
    with pymysql.connect(host=at.hostname, port=at.port, user=at.username, password=at.password,
                         database=at.path[1:], client_flag=CLIENT.MULTI_STATEMENTS) as db:
        cursor = db.cursor()
        cursor.execute("SELECT COUNT(*) FROM users")
        if cursor.fetchone()[0] == 0:
            cursor.execute(Path("/opt/portal.sql").read_text())
            while cursor.nextset():
                pass
            db.commit()
    print("the portal's accounts are there", flush=True)


sys.exit(main())
