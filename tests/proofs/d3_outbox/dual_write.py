"""The control: an accept as many write it, which changes the database and publishes the event itself.
A process a request, so that it can be killed; the statements are the hub's, without the outbox.

usage: dual_write.py commit-first|publish-first DATABASE-PORT DATABASE REDIS-PORT ORDER PARTNER"""

import sys

import pymysql
import redis


def accept(mode, database, stream, order, partner):
    cursor = database.cursor()
    cursor.execute("BEGIN")
    cursor.execute("SELECT status, partner, version FROM orders WHERE id = %s FOR UPDATE", (order,))
    status, holder, version = cursor.fetchone()
    if status != "pending":
        return holder == partner  # the repeated request of who has it: nothing to do, so no event
    event = {"event_id": f"{order}-{version + 1}", "order": order, "version": version + 1}
    cursor.execute("UPDATE orders SET status = 'assigned', partner = %s, version = version + 1 "
                   "WHERE id = %s", (partner, order))
    if mode == "publish-first":
        stream.xadd("hub:events", event)
    cursor.execute("COMMIT")
    if mode == "commit-first":
        stream.xadd("hub:events", event)
    return True


def main():
    mode, port, name, redis_port, order, partner = sys.argv[1:]
    database = pymysql.connect(host="127.0.0.1", port=int(port), user="root", database=name)
    stream = redis.Redis(port=int(redis_port))
    stream.ping()
    print("ready", flush=True)
    sys.stdin.readline()
    sys.exit(0 if accept(mode, database, stream, order, partner) else 1)


main()
