"""A hub on this machine that serves one directory of files, as huggingface_hub asks for them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/tiny"


@contextmanager
def small_hub(folder: Path, served: list[str] | None = None) -> Iterator[str]:
    """Serve `folder` as REPOSITORY; yields the endpoint and notes the paths of served files in `served`."""

    hub = type("SmallHub", (Hub,), {"folder": folder, "served": served if served is not None else []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Hub(BaseHTTPRequestHandler):
    folder: Path
    served: list[str]

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def log_message(self, *words: Any) -> None:
        pass

    def _answer(self, has_body: bool) -> None:
        path = self.path.split("?")[0]
        file = self.folder / path.rpartition("/")[2]
        if path.startswith(f"/api/models/{REPOSITORY}"):
            tree = _tree(self.folder)
            siblings = [{**entry, "rfilename": entry["path"]} for entry in tree]
            about = {"id": REPOSITORY, "modelId": REPOSITORY, "sha": COMMIT, "siblings": siblings}
            self._send(json.dumps(tree if "/tree/" in path else about).encode(), has_body)
        elif path.startswith(f"/{REPOSITORY}/resolve/") and file.is_file():
            if has_body:
                self.served.append(file.name)
            self._send(file.read_bytes(), has_body, hashlib.sha256(file.name.encode()).hexdigest())
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, content: bytes, has_body: bool, etag: str = "x") -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{etag}"')
        self.end_headers()
        if has_body:
            self.wfile.write(content)


def _tree(folder: Path) -> list[dict[str, Any]]:
    return [_entry(file) for file in sorted(folder.iterdir()) if not file.name.startswith("lie.")]


def _entry(file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    entry: dict[str, Any] = {"type": "file", "path": file.name, "size": len(content), "oid": "0" * 40}
    if file.suffix in (".safetensors", ".bin"):
        lie = file.with_name(f"lie.{file.name}")
        sha256 = hashlib.sha256(content if not lie.exists() else b"another").hexdigest()
        entry["lfs"] = {"oid": sha256, "sha256": sha256, "size": len(content), "pointerSize": 130}
    return entry
