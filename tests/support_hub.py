"""A hub on loopback: answers what huggingface_hub asks for in uploads and downloads, and remembers every request."""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

COMMIT = "c0ffee" * 6 + "abcd"
"""What every dataset of the hub stands at."""
TOKEN = "unlike-others-" + "Abcd1234" * 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    token: str | None
    body: bytes

    def json(self) -> Any:
        """The body read as JSON."""
        return json.loads(self.body)


@dataclass
class Hub:
    """The hub's side; `faults` maps a part of a path to the status and the body that stand for it."""

    role: str = "write"
    faults: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    uploaded: dict[str, bytes] = field(default_factory=dict)
    """Contents by hash, of what was sent as large files."""
    datasets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Files of public datasets, by repository and path."""

    def __enter__(self) -> "Hub":
        hub = self

        class Handler(BaseHTTPRequestHandler):
            """Hands each request to the hub."""

            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                """Read, remember, answer."""
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
                asked = Asked(method=self.command, path=self.path.partition("?")[0], token=token, body=body)
                hub.asked.append(asked)
                status, answer = hub.answer(asked)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
                if isinstance(answer, dict) and "code" in answer:
                    self.send_header("X-Error-Code", answer["code"])
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_HEAD = do_POST = do_PUT = handle_one

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """What HF_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """Status and body."""
        for part, fault in self.faults.items():
            if part in asked.path:
                return fault
        if "/datasets/" in asked.path:
            return self._dataset(asked.path.partition("/datasets/")[2])
        if asked.token != TOKEN and not asked.path.startswith("/lfs/"):
            return 401, {"error": "Invalid credentials in Authorization header"}
        return 200, self._good(asked)

    def _dataset(self, path: str) -> tuple[int, Any]:
        """What a public dataset is, which files it has, or one of them."""
        name = "/".join(path.split("/")[:2])
        rest = path.removeprefix(name).strip("/")
        files = self.datasets.get(name)
        if files is None:
            return 401, {"error": "Repository not found", "code": "RepoNotFound"}
        if rest.startswith("tree/"):
            return 200, [{"type": "file", "path": one, "size": len(data), "oid": "0"} for one, data in files.items()]
        if rest.startswith("resolve/"):
            wanted = rest.split("/", 2)[2]
            missing = {"error": "Entry not found", "code": "EntryNotFound"}
            return (200, files[wanted]) if wanted in files else (404, missing)
        if rest not in ("", "revision/main", f"revision/{COMMIT}"):
            return 404, {"error": "Revision not found", "code": "RevisionNotFound"}
        return 200, {"id": name, "sha": COMMIT, "siblings": [{"rfilename": one} for one in files]}

    def _good(self, asked: Asked) -> Any:
        path = asked.path
        if path == "/api/whoami-v2":
            return {"name": "ada", "orgs": [{"name": "lab"}], "auth": {"accessToken": {"role": self.role}}}
        if path == "/api/repos/create":
            wanted = asked.json()
            return {"url": f"{self.address}/{wanted.get('organization') or 'ada'}/{wanted['name']}"}
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": [{"message": "no license"}]}
        if "/preupload/" in path:
            return {"files": [self._mode(one["path"]) for one in asked.json()["files"]]}
        if path.endswith("/info/lfs/objects/batch"):
            return {"transfer": "basic", "objects": [self._place(one) for one in asked.json()["objects"]]}
        if path.startswith("/lfs/"):
            self.uploaded[path.removeprefix("/lfs/")] = asked.body
            return {}
        if "/commit/" in path:
            address = f"{self.address}/{'/'.join(path.split('/')[3:5])}/commit/{'a' * 40}"
            return {"success": True, "commitOid": "a" * 40, "commitUrl": address, "hookOutput": ""}
        return {}

    def _mode(self, path: str) -> dict[str, Any]:
        large = path.endswith(".safetensors")
        return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}

    def _place(self, one: dict[str, Any]) -> dict[str, Any]:
        return {**one, "authenticated": True, "actions": {"upload": {"href": f"{self.address}/lfs/{one['oid']}"}}}

    def paths(self) -> list[str]:
        """Which places were asked, in order."""
        return [asked.path for asked in self.asked]

    def committed(self) -> dict[str, bytes]:
        """Contents of the commit by name, large files included."""
        (commit,) = [asked for asked in self.asked if "/commit/" in asked.path]
        found = {}
        for row in map(json.loads, commit.body.splitlines()):
            if row["key"] == "file":
                found[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            elif row["key"] == "lfsFile":
                found[row["value"]["path"]] = self.uploaded[row["value"]["oid"]]
        return found
