"""How scribe is configured: a bad key is told before a start, and URLs, which have passwords in
them, can be read from files."""

import subprocess

import pytest
import scribe_kit as kit

from harness import server


def check_config(env):
    return subprocess.run([server.binary("scribe"), "--check-config"], env=env, text=True,
                          capture_output=True)


def test_a_short_key_is_told_without_a_start():
    done = check_config({**kit.env("sqlite:///nowhere"), "SCRIBE_TOKEN_KEY": "much-too-little"})
    assert done.returncode == 2
    assert "SCRIBE_TOKEN_KEY" in done.stderr and "much-too-little" not in done.stderr


@pytest.mark.parametrize("option", ["HISTORY_URL", "REDIS_URL"])
def test_a_url_may_come_from_a_file(folder, option):
    env = kit.env("mongodb://ada:pass@127.0.0.1/chat", "redis://:pass@127.0.0.1")
    file = folder / "url"
    file.write_text(env.pop(option) + "\n")
    done = check_config({**env, f"{option}_FILE": str(file)})
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
    both = check_config({**env, option: "redis://127.0.0.1", f"{option}_FILE": str(file)})
    assert both.returncode == 2 and "pass" not in both.stderr
