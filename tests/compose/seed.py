#!/usr/bin/python3
"""The portal's accounts and a term of attendance, and the hub's orders, once."""

import sys
from pathlib import Path
from urllib.parse import urlsplit

import pymysql
from pymysql.constants import CLIENT

ORDERS = """
INSERT INTO orders (status, version, fence, customer, pickup, dropoff, note, fee_cents, created_at,
                    updated_at)
SELECT 'pending', 1, 0, CONCAT('c', seq % 1000), 'Main Street 1', 'Market Square 2', '', 450, NOW(3),
       NOW(3) FROM seq_1_to_100000
"""


def fill(service, table, sql):
    """Runs the statements on the service's database if the table is empty."""
    at = urlsplit(Path(f"/secrets/{service}/mysql.url").read_text().strip())
    with pymysql.connect(host=at.hostname, port=at.port, user=at.username, password=at.password,
                         database=at.path[1:], client_flag=CLIENT.MULTI_STATEMENTS) as db:
        cursor = db.cursor()
        cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")
        if not cursor.fetchone():
            cursor.execute(sql)
            while cursor.nextset():
                pass
            db.commit()


def main():
    fill("portal", "users", Path("/opt/portal.sql").read_text())
    fill("hub", "orders", ORDERS)
    print("accounts, attendance and orders are there", flush=True)


sys.exit(main())
