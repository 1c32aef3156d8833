"""A hub of models on 127.0.0.1, in memory: as much of the Hugging Face hub's API as its client asks for.

Repositories with branches and commits, private and gated ones, renamed ones; uploads by LFS's basic transfer; files
with ETag and X-Repo-Commit. A `Fault` answers the next requests of a path otherwise: with a status, late, or with half
a file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["TOKEN", "Fault", "Hub", "Repo", "running"]

TOKEN = "hf_writer"
"""A login that may do everything; "hf_reader" may read what is neither gated nor private."""
_LARGE = (".onnx", ".safetensors")
Files = dict[str, bytes]


@dataclass
class Repo:
    """A repository: commits by their hash, and the commit of each branch."""

    private: bool = False
    gated: bool = False
    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: Files, branch: str = "main", message: str = "") -> str:
        """Make a commit with exactly these files the newest of a branch, and return its hash."""
        number = f"{len(self.commits)} {branch}".encode()
        sha = hashlib.sha1(number + b"".join(sorted(name.encode() + files[name] for name in files))).hexdigest()
        self.commits[sha] = dict(files)
        self.branches[branch] = sha
        self.messages.append(message)
        return sha

    def resolved(self, revision: str) -> str | None:
        """Return the commit that a revision means."""
        return revision if revision in self.commits else self.branches.get(revision)

    def files(self, revision: str = "main") -> Files:
        """Return the files of a revision."""
        return self.commits[self.branches.get(revision, revision)]


@dataclass
class Fault:
    """What the hub does instead of answering.

    Attributes:
        path: part of the path of the requests that it happens to.
        status: the answer; 0 for the right one, but late or cut.
        seconds: to wait before.
        share: of a file's bytes that are sent before the connection ends.
        times: how often it happens.
        method: of the requests; "" for all.
        headers, body: of the answer.
    """

    path: str
    status: int = 0
    seconds: float = 0.0
    share: float = 1.0
    times: int = 1
    method: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"


class Hub:
    """The content of the hub, and what it was asked."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.renamed: dict[str, str] = {}
        self.stored: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        self.url = ""

    def add(self, name: str, files: Files, **changes: Any) -> Repo:
        """Add a repository with one commit."""
        repo = self.repos[name] = Repo(**changes)
        repo.commit(files)
        return repo

    def downloads(self) -> list[str]:
        """Return the names of the files that were downloaded."""
        return [
            line.split("/resolve/")[1].split("/", 1)[1]
            for line in self.asked
            if line.startswith("GET /")
            if "/resolve/" in line
        ]

    def fault(self, method: str, path: str) -> Fault | None:
        """Return the fault that happens to a request, and count it."""
        for fault in self.faults:
            if fault.times > 0 and fault.path in path and fault.method in ("", method):
                fault.times -= 1
                return fault
        return None


@contextmanager
def running() -> Iterator[Hub]:
    """Run a hub on a free port of this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Requests,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _etag(name: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if name.endswith(_LARGE) else _blob_id(content)


class _Requests(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self._any("GET")

    def do_HEAD(self) -> None:
        self._any("HEAD")

    def do_POST(self) -> None:
        self._any("POST")

    def do_PUT(self) -> None:
        self._any("PUT")

    def _any(self, method: str) -> None:
        split = urlsplit(self.path)
        self.query = parse_qs(split.query)
        self.raw = split.path
        self.body = self._read()
        self.share = 1.0
        self.hub.asked.append(f"{method} {unquote(split.path)}")
        if fault := self.hub.fault(method, unquote(split.path)):
            time.sleep(fault.seconds)
            self.share = fault.share
            if fault.status:
                self._send(fault.status, fault.body, fault.headers)
                return
        parts = [unquote(part) for part in split.path.strip("/").split("/")]
        try:
            self._route(method, parts)
        except BrokenPipeError:  # whoever asked does not wait any longer
            self.close_connection = True

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _route(self, method: str, parts: list[str]) -> None:
        if parts == ["api", "validate-yaml"]:
            self._validate()
        elif parts == ["api", "repos", "create"]:
            self._create()
        elif parts[:2] == ["api", "models"]:
            self._of_model("/".join(parts[2:4]), parts[4:])
        elif parts[0] == "stored":
            self.hub.stored[parts[1]] = self.body
            self._send(200)
        elif parts[-4:] == ["info", "lfs", "objects", "batch"]:
            self._batch()
        elif len(parts) > 4 and parts[2] == "resolve":
            self._file(method, "/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._send(404)

    def _login(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _json(self, content: Any, status: int = 200) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _refuse(self, status: int, code: str = "", message: str = "") -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": message})

    def _readable(self, name: str) -> Repo | None:
        """Return a repository that the login may read; else answer."""
        if name in self.hub.renamed:
            self._send(307, b"", {"Location": self.path.replace(name, self.hub.renamed[name], 1)})
            return None
        repo = self.hub.repos.get(name)
        if self._login() not in ("", TOKEN, "hf_reader"):
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif repo is None or (repo.private and self._login() != TOKEN):
            self._refuse(404 if self._login() else 401, "RepoNotFound", "Repository not found")
        else:
            return repo
        return None

    def _may_write(self, name: str) -> bool:
        if self._login() == TOKEN and not name.startswith("others/"):
            return True
        self._refuse(403 if self._login() else 401, "", "you are not in this organization")
        return False

    def _validate(self) -> None:
        content = json.loads(self.body)["content"]
        errors = [] if content.startswith("---\n") and "license:" in content else [{"message": "no license"}]
        self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def _create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if not self._may_write(name):
            return
        if name in self.hub.repos:
            self._json({"url": f"{self.hub.url}/{name}"}, 409)
            return
        self.hub.add(
            name, {".gitattributes": b""}, private=asked.get("visibility") == "private" or asked.get("private", False)
        )
        self._json({"url": f"{self.hub.url}/{name}"})

    def _of_model(self, name: str, rest: list[str]) -> None:
        repo = self._readable(name)
        if repo is None:
            return
        verb, revision = (rest[0] if rest else "revision"), (rest[1] if len(rest) > 1 else "main")
        if verb == "branch":
            if self._may_write(name):
                new = revision not in repo.branches
                repo.branches.setdefault(revision, repo.branches["main"])
                self._json({}, 200 if new else 409)
            return
        sha = repo.resolved(revision)
        if sha is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif verb == "revision":
            listed = [{"rfilename": file} for file in repo.commits[sha]]
            self._json({"id": name, "sha": sha, "private": repo.private, "siblings": listed, "tags": []})
        elif verb == "tree":
            self._json([self._entry(file, content) for file, content in repo.commits[sha].items()])
        elif verb == "paths-info":
            wanted = parse_qs(self.body.decode())["paths"]
            self._json([self._entry(file, each) for file, each in repo.commits[sha].items() if file in wanted])
        elif self._may_write(name):
            self._preupload() if verb == "preupload" else self._commit(name, repo, revision)

    def _entry(self, name: str, content: bytes) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": _blob_id(content)}
        if name.endswith(_LARGE):
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 128}
        return entry

    def _preupload(self) -> None:
        files = json.loads(self.body)["files"]
        modes = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith(_LARGE) else "regular",
                "shouldIgnore": False,
            }
            for each in files
        ]
        self._json({"files": modes})

    def _batch(self) -> None:
        if not self._may_write(""):
            return
        objects = []
        for each in json.loads(self.body)["objects"]:
            found = {"oid": each["oid"], "size": each["size"]}
            if each["oid"] not in self.hub.stored:
                found["actions"] = {"upload": {"href": f"{self.hub.url}/stored/{each['oid']}"}}
            objects.append(found)
        self._json({"transfer": "basic", "objects": objects})

    def _commit(self, name: str, repo: Repo, revision: str) -> None:
        files, message = dict(repo.files(revision)), ""
        for line in self.body.decode().splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                message = value["summary"]
            elif item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                content = self.hub.stored[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                files[value["path"]] = content
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        answer: dict[str, Any] = {}
        if "create_pr" in self.query:
            revision = f"refs/pr/{1 + sum(each.startswith('refs/pr/') for each in repo.branches)}"
            answer["pullRequestUrl"] = f"{self.hub.url}/{name}/discussions/{revision.rpartition('/')[2]}"
        sha = repo.commit(files, revision, message)
        self._json({"commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "commitOid": sha, "success": True, **answer})

    def _file(self, method: str, name: str, revision: str, file: str) -> None:
        repo = self._readable(name)
        if repo is None:
            return
        if repo.gated and self._login() != TOKEN:
            self._refuse(403, "GatedRepo", "Access to this model is restricted")
            return
        sha = repo.resolved(revision)
        if sha is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        content = repo.commits[sha].get(file)
        if content is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
            return
        headers = {"ETag": f'"{_etag(file, content)}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        begin, status = 0, 200
        if wanted := self.headers.get("Range"):
            begin, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        rest = content[begin:]
        headers["Content-Length"] = str(len(rest))
        if self.share < 1.0 and method == "GET":
            self.close_connection = True
            self._send(status, rest[: int(self.share * len(rest))], headers)
            return
        self._send(status, rest, headers)
