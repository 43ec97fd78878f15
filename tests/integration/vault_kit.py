"""A vault of the test's own: `from vault_kit import vault` gives the fixture."""

import http.client
import secrets
import subprocess

import pytest
import requests
import vault_disk
from harness import server


class Vault:
    prefix = ()  # of its commands

    def __init__(self, folder, variant, start_server):
        self.data = folder / "vault"
        self.root_key_file = folder / "root.key"
        self.root_key_file.write_text(secrets.token_hex(32) + "\n")
        self.variant = variant
        self.start_server = start_server
        self.server = None
        self.env = {"VAULT_DATA": self.data, "VAULT_ROOT_KEY_FILE": self.root_key_file}

    def command(self, *args, check=True, **env):
        """Run dicom-vault with these arguments to its end."""
        done = subprocess.run(
            [*self.prefix, server.binary("dicom-vault", self.variant), *args], text=True,
            capture_output=True,
            env={k: str(v) for k, v in {**self.env, **env}.items()}, timeout=60, check=False)
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        assert not check or done.returncode == 0, done.stderr
        return done

    def start(self, **env):
        """Make the vault if need be, and serve it."""
        if not self.data.exists():
            self.command("init")
        self.key = getattr(self, "key", None) or self.new_key("read,write,admin")
        self.server = self.start_server("dicom-vault", {**self.env, **env}, wait="/healthz")
        return self

    def new_key(self, scope):
        return self.command("apikey", "--scope", scope).stdout.strip()

    @property
    def disk(self):
        return vault_disk.Disk(self.data, self.root_key_file)

    def request(self, method, path, key=None, **kwargs):
        headers = {"Authorization": f"Bearer {key or self.key}", **kwargs.pop("headers", {})}
        return requests.request(method, self.server.url + path, headers=headers, timeout=60,
                                **kwargs)

    def put(self, content, **headers):
        reply = self.request("POST", "/files", data=content, headers=headers)
        assert reply.status_code == 201, reply.text
        return reply.json()["id"]

    def list(self):
        files, after = [], "0"
        while after:
            page = self.request("GET", f"/files?limit=1000&after={after}").json()
            files += page["files"]
            after = page["next"]
        return files

    def fetch(self, file_id, **headers):
        """The status, what arrived of the body, and whether it came to a clean end."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            connection.request("GET", f"/files/{file_id}",
                               headers={"Authorization": f"Bearer {self.key}", **headers})
            reply = connection.getresponse()
            body, whole = b"", False
            try:
                while piece := reply.read1(65536):
                    body += piece
                whole = len(body) == int(reply.headers["Content-Length"])
            except (http.client.IncompleteRead, ConnectionError):
                pass
            return reply.status, body, whole
        finally:
            connection.close()


@pytest.fixture
def vault(folder, variant, start_server):
    return Vault(folder, variant, start_server)


def pattern(length, seed=1):
    """Bytes without a period, quickly made."""
    return (seed.to_bytes(8, "big") + bytes(range(251))).join(
        i.to_bytes(4, "big") for i in range(length // 259 + 2))[:length]
