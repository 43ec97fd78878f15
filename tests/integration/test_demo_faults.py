"""DEMO_FAULTS: what a demo may break, and that nobody else may."""

import signal

import hub
import pytest
import requests
import scribe_kit
from vault_kit import vault  # noqa: F401  a fixture

KEY = "k" * 32
ON = {"DEMO_FAULTS": "1", "DEMO_FAULT_KEY": KEY}
SERVICES = ["scribe", "delivery-hub", "dicom-vault", "student-portal"]


@pytest.fixture
def start(request, folder, mariadb, redis, start_server):
    def start(name, **faults):
        if name == "dicom-vault":
            return request.getfixturevalue("vault").start(**faults).server
        env = {
            "scribe": lambda: scribe_kit.env(f"sqlite://{folder}/history.db"),
            "delivery-hub": lambda: hub.env(mariadb, redis, "hub_crash"),
            "student-portal": lambda: {"MYSQL_URL": mariadb.url("portal_crash"),
                                       "REDIS_URL": redis.url},
        }[name]()
        return start_server(name, {**env, **faults}, wait="/healthz")

    return start


def crash(server, key):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return requests.post(server.url + "/demo/crash", headers=headers, data=b"", timeout=30)


@pytest.mark.parametrize("name", SERVICES)
def test_a_crash_takes_the_demos_key(start, name):
    server = start(name, **ON)
    for key in (None, "", "k" * 31, "k" * 33, "K" * 32):
        assert crash(server, key).status_code == 403
    with pytest.raises(requests.ConnectionError):
        crash(server, KEY)
    assert server.ended() == -signal.SIGABRT


@pytest.mark.parametrize("name", SERVICES)
def test_without_demo_faults_there_is_no_crash(start, name):
    server = start(name, DEMO_FAULT_KEY=KEY)
    assert crash(server, KEY).status_code == 404
    assert requests.get(server.url + "/healthz", timeout=30).ok


@pytest.mark.parametrize("key, status", [(KEY, 204), ("K" * 32, 403), (None, 403)])
def test_a_flipped_bit_takes_the_demos_key(vault, key, status):  # noqa: F811
    vault.start(**ON)
    file = vault.put(b"whole" * 10000)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = f"{vault.server.url}/demo/flip/{file}"
    assert requests.post(url, headers=headers, timeout=30).status_code == status
    try:
        whole = vault.request("GET", f"/files/{file}").ok
    except requests.RequestException:
        whole = False
    assert whole == (status != 204)


@pytest.mark.parametrize("name", ["../../keyring", "0" * 31, "0" * 32, "g" * 32])
def test_only_a_file_can_be_damaged(vault, name):  # noqa: F811
    vault.start(**ON)
    headers = {"Authorization": f"Bearer {KEY}"}
    url = vault.server.url + "/demo/flip/" + requests.utils.quote(name, safe="")
    assert requests.post(url, headers=headers, timeout=30).status_code in (400, 404)


def test_faults_without_a_key_do_not_start(start):
    with pytest.raises(Exception, match="DEMO_FAULT_KEY"):
        start("delivery-hub", DEMO_FAULTS="1")
