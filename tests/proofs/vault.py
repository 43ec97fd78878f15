"""A vault of a proof's own: the real server on a folder."""

import http.client
import secrets
import subprocess
import urllib.error
import urllib.request

from harness import server

HEADER = 56  # of a stored file: salt and commitment
CHUNK, TAG = 16384, 16


class Vault:
    """The real one, on a folder of its own."""

    def __init__(self, folder):
        root = folder / "root.key"
        root.write_text(secrets.token_hex(32))
        self.data = folder / "vault"
        self.env = {"VAULT_DATA": str(self.data), "VAULT_ROOT_KEY_FILE": str(root),
                    "LOG_LEVEL": "warn"}
        self.command("init")
        self.key = self.command("apikey", "--scope", "read,write")
        self.server = server.Server("dicom-vault", self.env, folder / "server", (), "release").start()

    def command(self, *words):
        """What a command beside the server prints."""
        env = {name: value for name, value in self.env.items() if name != "LOG_LEVEL"}
        return subprocess.run([server.binary("dicom-vault", "release"), *words], env=env, check=True,
                              text=True, stdout=subprocess.PIPE).stdout.strip()

    def request(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(self.server.url + path, body, headers, method=method)
        with urllib.request.urlopen(request) as reply:
            return reply.read()

    def put(self, content):
        text = self.request("POST", "/files", content).decode()
        return text.split('"id"')[1].split('"')[1]

    def get(self, file):
        """None when it refuses."""
        try:
            return self.request("GET", f"/files/{file}")
        except (urllib.error.HTTPError, http.client.HTTPException, OSError):
            return None

    def path(self, file):
        return self.data / "blobs" / file[0] / file[1] / file
