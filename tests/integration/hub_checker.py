"""Did the hub keep its promises? A run's clients write what they asked and what they were told, and
this holds it against the database's rows and the stream's entries, as Jepsen's checkers do.

A history is a list of dicts, a line of JSONL each:
    {"op": 7, "type": "invoke", "t": ns, "client": "p1", "f": "accept", "order": "5", "key": k}
    {"op": 7, "type": "ok" | "fail" | "info", "t": ns, "status": 200, "body": {...}}
    {"type": "held", "t": ns, "held": {"p1": 3}}       what the database said in one statement
    {"type": "crash", "t": ns}                         the database is about to be killed
ok was done; fail had no effect, ever; info is not known (a time-out, a broken connection, 503
outcome-unknown), and so is an invoke without an end. Rows and stream entries are dicts too, see
`read`."""

import json
from collections import defaultdict

INFINITY = float("inf")
SECOND = 1_000_000_000
# event -> (states before, state after)
MOVES = {
    "created": ({None}, "pending"),
    "accepted": ({"pending"}, "assigned"),
    "picked_up": ({"assigned"}, "picked_up"),
    "delivered": ({"picked_up"}, "delivered"),
    "released": ({"assigned"}, "pending"),
    "expired": ({"assigned"}, "pending"),
    "cancelled": ({"pending", "assigned"}, "cancelled"),
}
EVENTS = {"create": "created", "accept": "accepted", "next": "accepted", "pickup": "picked_up",
          "deliver": "delivered", "release": "released", "cancel": "cancelled"}
HOLDERS = {"picked_up", "delivered", "released"}


class Op:
    """One request; or, with a key, all tries of it."""

    def __init__(self, invoke):
        self.client, self.f, self.key = invoke["client"], invoke["f"], invoke.get("key")
        self.order, self.invoked = invoke.get("order"), invoke["t"]
        self.done, self.type, self.status, self.body = INFINITY, "info", None, {}

    def end(self, line):
        self.done, self.type = line["t"], line["type"]
        self.status, self.body = line.get("status"), line.get("body") or {}
        if self.type == "ok" and self.body:
            self.order = self.body["id"]

    def __repr__(self):
        return f"{self.client}'s {self.f} of {self.order} (key {self.key})"


def load(path):
    with open(path) as lines:
        return [json.loads(line) for line in lines]


def tries(history):
    """Every request, in the order in which they were sent."""
    ops = {}
    for line in history:
        if line["type"] == "invoke":
            ops[line["op"]] = Op(line)
        elif "op" in line:
            ops[line["op"]].end(line)
    return list(ops.values())


def is_final(op):
    """Was that an answer which a key stands for?"""
    return op.type == "ok" or (op.status in (409, 412) and op.body.get("reason") != "in-flight")


def by_key(ops):
    """The tries of one key are one operation: begun with the first, ended by the first answer that
    tells what became of it. It failed only if each try did."""
    merged, keyed = [], {}
    for op in ops:
        whole = keyed.get((op.client, op.key)) if op.key else None
        if whole is None:
            merged.append(op)
            if op.key:
                keyed[(op.client, op.key)] = op
        elif op.type == "ok" and whole.type != "ok":
            whole.done, whole.type, whole.status = op.done, op.type, op.status
            whole.order, whole.body = op.order, op.body
        elif "info" in (op.type, whole.type) and whole.type != "ok":
            settled = is_final(op) and op.type == "fail"  # the record says that nothing was done
            whole.type = "fail" if settled else "info"
    return merged


def faults(history, rows, orders, stream, capacity):
    """What is wrong, as text; nothing when all is well."""
    ops = tries(history)
    by_order = defaultdict(list)
    for row in rows:
        by_order[row["order"]].append(row)
    for log in by_order.values():
        log.sort(key=lambda row: row["version"])
    found = list(_check_replays(ops))
    ops = by_key(ops)
    makers = {(op.order, op.body["version"]): op for op in ops if op.type == "ok" and op.body}
    for order, log in by_order.items():
        found += _check_sequence(order, log)
        found += _check_stored(order, log[-1], orders.get(order))
        found += _check_stream(order, log, stream)
    found += _check_acknowledged(ops, by_order)
    found += _check_effects(ops, rows, makers)
    found += _check_real_time(ops)
    found += _check_refusals(ops, by_order, makers, history)
    found += _check_capacity(by_order, makers, capacity)
    found += _check_samples(history, capacity)
    return found


def _check_sequence(order, log):
    """Every order's events are a walk through the states: one holder at a time, rising fences."""
    state, holder, fence = None, None, 0
    for i, row in enumerate(log):
        before, after = MOVES[row["event"]]
        what = f"order {order}: {row['actor']} {row['event']} version {row['version']}"
        if row["version"] != i + 1:
            yield f"{what} as number {i + 1}"
        if row["event"] == "accepted" and state == "assigned":
            yield f"{what} while {holder} held it"
        elif state not in before:
            yield f"{what} when it was {state}"
        if row["status"] != after:
            yield f"{what}, and it is {row['status']}"
        if row["event"] in HOLDERS and row["actor"] != holder:
            yield f"{what} while {holder} held it"
        if row["event"] == "accepted":
            if row["fence"] <= fence:
                yield f"{what} with fence {row['fence']} after {fence}"
            holder = row["actor"]
        elif row["fence"] != fence:
            yield f"{what} changed the fence from {fence} to {row['fence']}"
        if after == "pending":
            holder = None
        if row["partner"] != holder:
            yield f"{what}, held by {row['partner']} and not {holder}"
        state, fence = row["status"], row["fence"]


def _check_stored(order, last, stored):
    fields = ("status", "version", "fence", "partner")
    if not stored or any(stored[f] != last[f] for f in fields):
        yield f"order {order} is {stored}, its last event {last}"


def _check_stream(order, log, stream):
    """Each event once after dedupe, in the order's sequence."""
    seen, got = {}, []
    for entry in stream.get(order, []):
        if entry["event_id"] not in seen:
            seen[entry["event_id"]] = entry
            got.append((entry["event_id"], entry["version"], entry["event"]))
        elif seen[entry["event_id"]] != entry:
            yield f"order {order}: the stream has {entry} and {seen[entry['event_id']]}"
    expected = [(row["event_id"], row["version"], row["event"]) for row in log]
    if got != expected:
        yield f"order {order}: the stream has {got}, the database {expected}"


def _check_acknowledged(ops, by_order):
    """What was acknowledged is there, as it was said, and was so to one alone."""
    told = {}
    for op in ops:
        if op.type != "ok" or not op.body:
            continue
        body = op.body
        row = next((r for r in by_order.get(op.order, ()) if r["version"] == body["version"]), None)
        expected = {"event": EVENTS[op.f], "actor": op.client,
                    **{f: body[f] for f in ("status", "fence", "partner")}}
        if row is None:
            yield f"{op!r} was acknowledged as version {body['version']} and is lost"
        elif any(row[f] != v for f, v in expected.items()):
            yield f"{op!r} was acknowledged as {expected}, the database has {row}"
        other = told.setdefault((op.order, body["version"]), op)
        if other is not op:
            yield f"{op!r} and {other!r} were both told version {body['version']}"


def _check_effects(ops, rows, makers):
    """What nobody asked for, or was told that it failed, did not happen."""
    unknown = defaultdict(int)
    for op in ops:
        if op.type == "info":
            order = op.order if op.f not in ("create", "next") else None
            unknown[op.client, EVENTS[op.f], order] += 1
    for row in rows:
        if (row["order"], row["version"]) in makers or row["event"] == "expired":
            continue
        for order in (row["order"], None):
            if unknown[row["actor"], row["event"], order]:
                unknown[row["actor"], row["event"], order] -= 1
                break
        else:
            yield f"nobody may have done this: {row}"


def _check_real_time(ops):
    """What was acknowledged before another request was sent has the lower version."""
    moments = []
    for op in ops:
        if op.type == "ok" and op.body:
            moments += [(op.invoked, 1, op), (op.done, 0, op)]
    newest, floor = defaultdict(int), {}
    for _, is_invoke, op in sorted(moments, key=lambda m: m[:2]):
        if is_invoke:
            floor[id(op)] = newest[op.order]
            continue
        if op.body["version"] <= floor[id(op)]:
            yield f"{op!r} made version {op.body['version']} after {floor[id(op)]} was known"
        newest[op.order] = max(newest[op.order], op.body["version"])


def _earliest(log, i, makers):
    """The earliest moment at which log[i] can have been made: 0 when nobody knows."""
    if i == len(log):
        return INFINITY
    op = makers.get((log[i]["order"], log[i]["version"]))
    return op.invoked if op else 0


def _check_refusals(ops, by_order, makers, history):
    """No accept is refused for the state of an order that was pending all the while. Around a crash
    it may have been for a commit that the crash took back: visible, but not yet acknowledged. The
    accept may have been under way for long when its client gets to the answer."""
    crashes = [line["t"] for line in history if line["type"] == "crash"]
    for op in ops:
        if any(op.invoked - SECOND < crash < op.done + SECOND for crash in crashes):
            continue
        if op.f != "accept" or op.type != "fail" or op.body.get("reason") != "state":
            continue
        log = by_order.get(op.order, [])
        for i, row in enumerate(log):
            maker = makers.get((op.order, row["version"]))
            if (row["status"] == "pending" and maker and maker.done < op.invoked and
                    _earliest(log, i + 1, makers) > op.done):
                yield f"{op!r} was refused while the order was pending"


def _check_capacity(by_order, makers, capacity):
    """No partner surely held more at one moment: from the answer to their accept until the request
    that ended it was sent."""
    moments = defaultdict(list)
    for log in by_order.values():
        for i, row in enumerate(log):
            maker = makers.get((row["order"], row["version"]))
            if row["event"] != "accepted" or not maker:
                continue
            end = next((n for n in range(i + 1, len(log)) if log[n]["event"] != "picked_up"),
                       len(log))
            until = _earliest(log, end, makers)
            if maker.done < until:
                moments[row["actor"]] += [(maker.done, 1), (until, -1)]
    for partner, changes in moments.items():
        held = 0
        for _, change in sorted(changes):
            held += change
            if held > capacity:
                yield f"{partner} held {held} orders at once"


def _check_samples(history, capacity):
    for line in history:
        if line["type"] == "held":
            for partner, n in line["held"].items():
                if n > capacity:
                    yield f"{partner} held {n} orders in the database"


def _check_replays(ops):
    """The same key, the same answer."""
    first = {}
    for op in ops:
        if not op.key or not is_final(op):
            continue
        told = first.setdefault((op.client, op.key), op)
        if (told.status, told.body) != (op.status, op.body):
            yield f"{op!r} was answered {told.status} {told.body}, then {op.status} {op.body}"


def read(database, stream):
    """(rows, orders, stream) for `faults`: the outbox and the orders through PyMySQL, the stream
    through redis-py."""
    with database.cursor() as cursor:
        cursor.execute("SELECT * FROM outbox ORDER BY id")
        rows = []
        for r in cursor.fetchall():
            body = json.loads(r["body"])
            rows.append({"event_id": r["id"], "order": str(r["order_id"]), "version": r["version"],
                         "event": r["event"], "actor": r["actor"],
                         **{f: body[f] for f in ("status", "fence", "partner")}})
        cursor.execute("SELECT * FROM orders")
        orders = {str(o["id"]): {f: o[f] for f in ("status", "version", "fence", "partner")}
                  for o in cursor.fetchall()}
    entries = defaultdict(list)
    for _, e in stream.xrange("hub:events"):
        entries[e[b"order"].decode()].append(
            {"event_id": int(e[b"event_id"]), "version": int(e[b"version"]),
             "event": e[b"event"].decode(), "body": e[b"body"].decode()})
    return rows, orders, entries
