"""A hub on 127.0.0.1: it answers the requests of huggingface_hub that list files and bring them, ranges included."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = 1000
"""Bytes from which a file is described as a large one, by SHA-256."""


def blob(content: bytes) -> str:
    """Git's hash of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class HubServer:
    """Serves repositories until it is closed; large files from another port, to which requests are sent on.

    Attributes:
        repositories: (kind, id) -> revision -> file -> content.
        corrupt: files of which other bytes are sent than are announced.
        stalls: file -> number of bytes after which an answer waits until `released`.
        ignores_ranges: answer a range with the whole file, as some mirrors do.
        requests: (method, path, Range or None) of each request.
        tokens: the paths that came with a token.
    """

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], dict[str, dict[str, bytes]]] = {}
        self.corrupt: set[str] = set()
        self.stalls: dict[str, int] = {}
        self.released = threading.Event()
        self.ignores_ranges = False
        self.requests: list[tuple[str, str, str | None]] = []
        self.tokens: list[str] = []
        handler = type("Handler", (_Handler,), {"hub": self})
        self.servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
        for server in self.servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.address, self.store = (f"http://127.0.0.1:{server.server_address[1]}" for server in self.servers)

    def add(self, kind: str, name: str, revision: str, files: dict[str, bytes]) -> None:
        self.repositories.setdefault((kind, name), {})[revision] = files

    def bodies(self, file: str) -> list[tuple[str, str, str | None]]:
        """Requests of a file's content, at the place where it is."""
        found = [one for one in self.requests if one[0] == "GET" and one[1].endswith(f"/{file}")]
        return [one for one in found if one[1].startswith("/store/")] or found

    def close(self) -> None:
        self.released.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        if self.headers.get("Authorization"):
            self.hub.tokens.append(path)
        if stored := re.fullmatch(r"/store/(model|dataset)/([^/]+/[^/]+)/([^/]+)/(.+)", path):
            *place, file = stored.groups()
            self._file(file, self.hub.repositories[(place[0], place[1])][place[2]][file], place[2], body)
        elif tree := re.fullmatch(r"/api/(model|dataset)s/([^/]+/[^/]+)/tree/([^/]+)", path):
            files = self._files(*tree.groups())
            if files is not None:
                self._send(json.dumps([_described(*item) for item in files.items()]).encode(), "application/json")
        elif found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            kind, name, revision, file = found.groups()
            kind = "dataset" if kind else "model"
            files = self._files(kind, name, revision)
            if files is not None and file not in files:
                self._fail("EntryNotFound")
            elif files is not None and len(files[file]) >= LARGE:
                self._send_on(f"{self.hub.store}/store/{kind}/{name}/{revision}/{file}", files[file], revision)
            elif files is not None:
                self._file(file, files[file], revision, body)
        else:
            self._fail("RepoNotFound")

    def _files(self, kind: str, name: str, revision: str) -> dict[str, bytes] | None:
        revisions = self.hub.repositories.get((kind, name))
        if revisions is None or revision not in revisions:
            self._fail("RepoNotFound" if revisions is None else "RevisionNotFound")
            return None
        return revisions[revision]

    def _fail(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_on(self, address: str, content: bytes, revision: str) -> None:
        self.send_response(302)
        self.send_header("Location", address)
        self.send_header("X-Repo-Commit", revision)
        self.send_header("X-Linked-ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes, form: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", form)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _file(self, file: str, content: bytes, revision: str, body: bool) -> None:
        announced = hashlib.sha256(content).hexdigest() if len(content) >= LARGE else blob(content)
        if file in self.hub.corrupt:
            content = bytes(len(content))
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        first = int(start[1]) if start and not self.hub.ignores_ranges else 0
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("X-Repo-Commit", revision)
        self.send_header("ETag", f'"{announced}"')
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        if not body:
            return
        stall = self.hub.stalls.get(file)
        if stall is not None and not self.hub.released.is_set():
            self.wfile.write(content[first : max(first, stall)])
            self.wfile.flush()
            self.hub.released.wait()
            return  # cut off: the client was killed meanwhile
        self.wfile.write(content[first:])


def _described(path: str, content: bytes) -> dict[str, object]:
    about: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": blob(content)}
    if len(content) >= LARGE:
        about["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 100}
    return about
