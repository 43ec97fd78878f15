#!/usr/bin/python3
"""Databases, users and replication, over the wire; everything may be there already."""

import sys
from pathlib import Path

import pymysql

SECRETS = Path("/secrets/db")
DATABASES = ("hub", "portal")


def password(user):
    return (SECRETS / f"{user}.password").read_text().strip()


def connect(host):
    return pymysql.connect(host=host, user="root", password=password("root"), autocommit=True,
                           cursorclass=pymysql.cursors.DictCursor)


def make_databases(primary):
    for name in DATABASES:
        primary.execute(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb4")
        make_user(primary, name)
        primary.execute(f"GRANT ALL ON {name}.* TO {name}@'%'")
    make_user(primary, "replica")
    primary.execute("GRANT REPLICATION SLAVE ON *.* TO replica@'%'")


def make_user(primary, name):
    primary.execute(f"CREATE USER IF NOT EXISTS {name}@'%%' IDENTIFIED BY %s", (password(name),))


def replicate(replica):
    replica.execute("SHOW SLAVE STATUS")
    if not replica.fetchone():
        replica.execute(
            "CHANGE MASTER TO MASTER_HOST='mariadb', MASTER_USER='replica', MASTER_PASSWORD=%s, "
            "MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=2", (password("replica"),))
    replica.execute("START SLAVE")


def main():
    with connect("mariadb") as primary, connect("replica") as replica:
        make_databases(primary.cursor())
        replicate(replica.cursor())
    print("databases, users and replication are there", flush=True)


sys.exit(main())
