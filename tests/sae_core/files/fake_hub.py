"""A server that answers as the Hugging Face Hub does where repositories are listed and fetched."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def fake_hub(repository: str, folder: Path) -> Iterator[str]:
    """The address of a hub with one repository, whose files lie in `folder`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing: tests are quiet."""

        def _answer(self, body: bool) -> None:
            path = self.path.partition("?")[0]
            listing, files = f"/api/models/{repository}", f"/{repository}/resolve/{COMMIT}/"
            if path in (f"{listing}/revision/main", f"{listing}/revision/{COMMIT}"):
                siblings = [{"rfilename": name} for name in _names()]
                self._json({"id": repository, "sha": COMMIT, "siblings": siblings})
            elif path == f"{listing}/tree/{COMMIT}":
                self._json([_entry(name) for name in _names()])
            elif path.startswith(files) and (file := folder / path.removeprefix(files)).is_file():
                self._file(file, body)
            elif path.startswith(listing):
                self._json({"error": "Revision not found"}, 404, "RevisionNotFound")
            else:
                self._json({"error": "Repository not found"}, 404, "RepoNotFound")

        def _json(self, value: object, status: int = 200, code: str | None = None) -> None:
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            if code:
                self.send_header("X-Error-Code", code)
            self.end_headers()
            self.wfile.write(text)

        def _file(self, file: Path, body: bool) -> None:
            content = file.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{_blob(content)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                self.wfile.write(content)

    def _names() -> list[str]:
        return sorted(str(p.relative_to(folder)) for p in folder.glob("**/*") if p.is_file())

    def _entry(name: str) -> dict[str, object]:
        content = (folder / name).read_bytes()
        return {"type": "file", "path": name, "size": len(content), "oid": _blob(content)}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _blob(content: bytes) -> str:
    """The name git gives a file of that content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
