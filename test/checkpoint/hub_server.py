"""A Hugging Face hub of our own: the two requests that huggingface_hub makes for a file, answered from a folder."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "c" * 40


@contextmanager
def serving(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve `root`/ORGANIZATION/MODEL; gives the endpoint, and the paths of the files that were fetched so far."""
    fetched: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            organization, model, _, revision, name = self.path.strip("/").split("/", 4)
            file = root / organization / model / name
            headers = {"X-Repo-Commit": COMMIT}
            known = revision in ("main", COMMIT, "v1")
            if not known or not file.is_file():
                code = "EntryNotFound" if known else "RevisionNotFound"
                self._send(404, headers | {"X-Error-Code": code}, b"", body)
                return
            content = file.read_bytes()
            if body:
                fetched.append(name)
            self._send(200, headers | {"ETag": f'"{hashlib.sha256(content).hexdigest()}"'}, content, body)

        def _send(self, code: int, headers: dict[str, str], content: bytes, body: bool) -> None:
            self.send_response(code)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            print(self.command, self.path, file=sys.stderr)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", fetched
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
