"""The load clients, before a figure of theirs is believed."""

import sys
import threading

import pytest
from harness.process import ROOT

sys.path.insert(0, str(ROOT / "tests" / "load"))
import bench  # noqa: E402


@pytest.fixture
def bare(folder):
    (folder / "body").write_text('{"status":"delivered"}')
    server = bench.Limit("bare_httpd", folder, folder / "body").start()
    yield server
    server.resume()
    server.kill()


def test_every_request_is_sent_and_counted_once(bare):
    requests = [bench.request("GET", "/a"), bench.request("HEAD", "/b"),
                bench.request("POST", "/c", body=b"%SERIAL%" * 10000)]
    done = bench.http_load(bare.port, requests, connections=7, max_requests=300, seconds=60)
    assert done["requests"] == 300 and done["statuses"] == {"200": 300} and done["errors"] == 0


def test_a_connection_for_each_request(bare):
    done = bench.http_load(bare.port, [bench.request("GET", "/")], connections=300,
                           max_requests=1000, new_connections=True, seconds=60)
    assert done["statuses"] == {"200": 1000} and done["errors"] == 0


def test_an_open_loop_counts_what_a_stall_held_up(bare):
    """Half of the requests were due while the server stood still. Had each latency been counted
    from when the request could at last be sent, all but one would look quick."""
    threading.Timer(0.5, bare.pause).start()
    threading.Timer(1.5, bare.resume).start()
    done = bench.http_load(bare.port, [bench.request("GET", "/")], connections=4, rate=500,
                           seconds=2)
    assert done["requests"] == 1000 and done["errors"] == 0
    assert done["max_us"] > 800_000
    assert done["p90_us"] > 400_000


def test_an_unanswered_request_is_an_error(bare):
    bare.pause()
    done = bench.http_load(bare.port, [bench.request("GET", "/")], connections=2, rate=100,
                           seconds=0.5, grace=0.5)
    assert done["requests"] == 0 and done["errors"] == 50


def test_a_server_that_is_not_there_is_an_error(bare):
    bare.kill()
    done = bench.http_load(bare.port, [bench.request("GET", "/")], new_connections=True)
    assert done["requests"] == 0 and done["errors"] > 0


def test_another_machine_must_be_meant():
    with pytest.raises(bench.subprocess.CalledProcessError) as e:
        bench.run("http_load", "192.0.2.1:80", "-", stdin=bench.request("GET", "/"))
    assert e.value.returncode == 2
