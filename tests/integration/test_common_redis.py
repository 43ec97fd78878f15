"""common/redis and its subscriber against a real server and its deaths; redis-py looks on."""

import pytest
import redis as redis_py
from harness.process import until


def outside(server, **kwargs):
    return redis_py.Redis(port=server.port, **kwargs)


def wait_well(probe, well=True):
    return until(lambda: (h := probe("health"))["well"] == well and h, what=f"well={well}")


def start(start_probe, url, **options):
    p = start_probe("probe_redis", url, **options)
    assert p.first == {"status": "ok", "why": ""}
    wait_well(p)
    return p


@pytest.fixture
def probe(own_redis, start_probe):
    return start(start_probe, own_redis.url, timeout_ms=2000)


# --- commands -----------------------------------------------------------------------------------


def test_replies(probe, own_redis):
    assert probe("command", "SET", "k", "a b\0ä\r\n")["reply"] == "OK"
    assert outside(own_redis).get("k") == "a b\0ä\r\n".encode()
    assert probe("command", "GET", "k")["reply"] == "a b\0ä\r\n"
    assert probe("command", "GET", "none") == {"status": "ok", "reply": None}
    assert probe("command", "INCR", "n")["reply"] == 1
    assert probe("command", "SET", "", "")["reply"] == "OK"
    assert probe("command", "GET", "")["reply"] == ""
    assert probe("command", "MGET", "n", "none", "k")["reply"] == ["1", None, "a b\0ä\r\n"]


def test_errors(probe):
    assert probe("command", "NOSUCH")["status"] == "internal"
    assert probe("misuse")["status"] == "internal"
    group = ["command", "XGROUP", "CREATE", "stream", "g", "$", "MKSTREAM"]
    assert probe(*group)["reply"] == "OK"
    assert probe(*group)["status"] == "internal"  # BUSYGROUP is not BUSY
    assert probe("command", "PING")["reply"] == "PONG"
    assert probe("health") == {"well": True, "why": "", "epoch": 1}


def test_out_of_memory_and_read_only(probe, own_redis):
    direct = outside(own_redis)
    direct.config_set("maxmemory", "1")
    assert probe("command", "SET", "k", "v")["status"] == "unavailable"
    direct.config_set("maxmemory", "0")
    direct.replicaof("127.0.0.1", 1)
    assert probe("command", "SET", "k", "v")["status"] == "unavailable"
    direct.replicaof("NO", "ONE")
    until(lambda: probe("command", "SET", "k", "v")["status"] == "ok")


def test_database(own_redis, start_probe):
    start(start_probe, own_redis.url + "/3")("command", "SET", "k", "three")
    assert outside(own_redis, db=3).get("k") == b"three"
    assert outside(own_redis).get("k") is None
    missing = start_probe("probe_redis", own_redis.url + "/999")
    until(lambda: "SELECT: ERR DB index" in missing("health")["why"])


def test_passwords(own_redis, start_probe):
    direct = outside(own_redis)
    direct.acl_setuser("ann", enabled=True, passwords=["+p:/@ %é"], categories=["+@all"], keys=["*"])
    direct.config_set("requirepass", "top secret")
    where = f"127.0.0.1:{own_redis.port}"
    start(start_probe, f"redis://ann:p%3A%2F%40%20%25%C3%A9@{where}")
    start(start_probe, f"redis://:top%20secret@{where}")
    wrong = start_probe("probe_redis", f"redis://:wrong-password@{where}")
    until(lambda: "AUTH: WRONGPASS" in wrong("health")["why"])
    assert wrong("command", "PING")["status"] == "unavailable"
    assert "wrong-password" not in wrong.log_text()
    none = start_probe("probe_redis", f"redis://{where}")
    until(lambda: "PING: NOAUTH" in none("health")["why"])


def test_not_redis(mariadb, start_probe):
    probe = start_probe("probe_redis", f"redis://127.0.0.1:{mariadb.port}")
    until(lambda: "PING: Protocol error" in probe("health")["why"])


# --- the pool and the circuit -------------------------------------------------------------------


def test_pool_is_bounded(own_redis, start_probe):
    probe = start(start_probe, own_redis.url, connections=1, timeout_ms=1100)
    counts = probe("hammer", 4, 3000, "BLPOP", "nothing", "0.6")
    assert counts["ok"] > 1 and counts["overloaded"] > 1 and len(counts) == 2
    assert probe("health")["epoch"] == 1
    assert own_redis.running() and probe("hammer", 8, 300, "INCR", "n").keys() == {"ok"}


def test_connection_closed_while_idle_is_not_used(own_redis, start_probe):
    probe = start(start_probe, own_redis.url, connections=1)
    direct = outside(own_redis)
    for _ in range(3):
        direct.client_kill_filter(_id=probe("command", "CLIENT", "ID")["reply"])
    assert probe("command", "PING")["reply"] == "PONG"
    assert probe("health")["epoch"] == 1


def test_dead_at_start(own_redis, start_probe):
    own_redis.stop()
    probe = start_probe("probe_redis", own_redis.url)
    assert probe("command", "PING")["status"] == "unavailable"
    until(lambda: "refused" in probe("health")["why"])
    assert probe("health")["epoch"] == 0
    own_redis.start()
    assert wait_well(probe)["epoch"] == 1
    assert probe("command", "PING")["reply"] == "PONG"


def test_killed_in_use(own_redis, start_probe):
    probe = start(start_probe, own_redis.url)
    probe.send("hammer", 6, 0, "INCR", "n")
    until(lambda: int(outside(own_redis).get("n") or 0) > 50)
    own_redis.kill()
    own_redis.start()
    until(lambda: int(outside(own_redis).get("n") or 0) > 50)
    counts = probe("stop")
    assert set(counts) == {"ok", "unavailable"}
    assert wait_well(probe)["epoch"] == 2


def test_circuit_opens_at_once(probe, own_redis):
    """The first call sees the death, every later one the open circuit, until the server is back."""
    assert probe("command", "SET", "k", "v")["status"] == "ok"
    own_redis.kill()
    assert probe("command", "GET", "k")["status"] == "unavailable"
    assert not probe("health")["well"]
    for _ in range(100):
        assert probe("command", "GET", "k")["status"] == "unavailable"
    assert probe.log_text().count("store_dial_failed") < 20  # the watch's, not the calls'
    own_redis.start()
    assert wait_well(probe)["epoch"] == 2
    assert probe("command", "GET", "k")["status"] == "ok"


def test_time_out_opens_the_circuit(own_redis, start_probe):
    probe = start(start_probe, own_redis.url, timeout_ms=300)
    assert probe("command", "PING")["status"] == "ok"
    own_redis.pause()
    assert probe("command", "PING")["status"] == "unavailable"
    assert not probe("health")["well"]
    own_redis.resume()
    assert wait_well(probe)["epoch"] == 2
    assert probe("command", "PING")["status"] == "ok"
    own_redis.pause()
    probe.close()
    own_redis.resume()


# --- subscriber ---------------------------------------------------------------------------------


class Events:
    """All events so far, in order."""

    def __init__(self, probe):
        self.probe = probe
        self.all = []
        probe("listen")

    def fetch(self):
        answer = self.probe("events")
        self.all += answer["events"]
        self.up = answer["up"]
        return self.all

    def wait(self, event, after=0):
        """The index of the first such event from index `after` on."""
        until(lambda: event in self.fetch()[after:], what=event)
        return self.all.index(event, after)

    def state(self, name, after=0):
        return self.wait([name], after)


@pytest.fixture
def events(probe):
    e = Events(probe)
    e.state("up")
    return e


def test_messages_of_wanted_channels_only(probe, events, own_redis):
    direct = outside(own_redis)
    probe("subscribe", "a", "b ä")
    for channel in ("a", "b ä"):
        events.wait(["subscribed", channel])
    assert direct.publish("a", "x\0y") == 1 and direct.publish("b ä", b"\xff") == 1
    assert direct.publish("c", "nobody hears") == 0
    events.wait(["message", "a", "x\0y"])
    events.wait(["message", "b ä", {"hex": "ff"}])
    probe("unsubscribe", "a", "never asked for")
    until(lambda: direct.pubsub_numsub("a") == [(b"a", 0)])
    direct.publish("b ä", "last")
    events.wait(["message", "b ä", "last"])
    probe("unsubscribe", "b ä")
    until(lambda: direct.pubsub_channels() == [])
    probe("subscribe", "a")  # again, from none
    events.wait(["subscribed", "a"], after=len(events.all))


def test_up_comes_after_every_confirmation(own_redis, start_probe):
    """What is published after `up` is received, on every channel."""
    direct = outside(own_redis)
    own_redis.stop()
    probe = start_probe("probe_redis", own_redis.url)
    events = Events(probe)
    channels = [f"room-{i}" for i in range(5000)]
    probe("subscribe", *channels)
    own_redis.start()
    for _ in range(2):
        up = events.state("up", after=len(events.all))
        direct = outside(own_redis)
        for channel in channels[::500]:
            assert direct.publish(channel, "after up") == 1
            events.wait(["message", channel, "after up"], after=up)
        assert sum(e[0] == "subscribed" for e in events.all[:up]) == 5000
        events.all.clear()
        own_redis.kill()
        events.state("down")
        events.all.clear()
        own_redis.start()


def test_channels_change_while_the_server_is_away(probe, events, own_redis):
    probe("subscribe", "stays", "goes")
    events.wait(["subscribed", "goes"])
    own_redis.kill()
    down = events.state("down")
    probe("subscribe", "comes")
    probe("unsubscribe", "goes")
    probe("subscribe", "blinks")
    probe("unsubscribe", "blinks")
    own_redis.start()
    up = events.state("up", after=down)
    confirmed = {e[1] for e in events.all[down:up] if e[0] == "subscribed"}
    assert confirmed == {"stays", "comes"}
    assert {c.decode() for c in outside(own_redis).pubsub_channels()} == {"stays", "comes"}


def test_channels_change_fast(probe, events, own_redis):
    names = [f"toggle-{i}" for i in range(50)]
    probe("toggle", 4, 1000)
    probe("subscribe", *names)
    direct = outside(own_redis)
    until(lambda: {c.decode() for c in direct.pubsub_channels()} == set(names))
    probe("toggle", 4, 300)
    probe("unsubscribe", *names)
    until(lambda: direct.pubsub_channels() == [])
    assert events.fetch().count(["up"]) == 1 and ["down"] not in events.all


def test_watchdog_sees_a_frozen_server(probe, events, own_redis):
    probe("subscribe", "a")
    events.wait(["subscribed", "a"])
    own_redis.pause()
    down = events.state("down")
    assert not events.up
    own_redis.resume()
    events.state("up", after=down)
    outside(own_redis).publish("a", "hello")
    events.wait(["message", "a", "hello"], after=down)


def test_connection_killed(probe, events, own_redis):
    probe("subscribe", "a")
    events.wait(["subscribed", "a"])
    outside(own_redis).client_kill_filter(_type="pubsub")
    events.state("up", after=events.state("down"))
    assert probe("health")["epoch"] == 1  # the pool is another matter


def test_nothing_comes_after_the_end(probe, events, own_redis):
    probe("subscribe", "a")
    events.wait(["subscribed", "a"])
    probe("deafen")
    until(lambda: outside(own_redis).pubsub_channels() == [])


def test_end_while_connecting(own_redis, start_probe):
    own_redis.pause()
    probe = start_probe("probe_redis", own_redis.url)
    probe("listen")
    probe("subscribe", "a")
    probe.close()
    own_redis.resume()
