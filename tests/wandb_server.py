"""A stand-in for wandb's server: as much of its protocol as `wandb sync` needs, keeping what it is sent."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar


@dataclass
class Received:
    """What came of one run: its fields, its history and summary, and with which code it ended."""

    fields: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    exit_code: int | None = None


class WandbServer(ThreadingHTTPServer):
    """Listens on a free port of this machine; `runs` has what came, by the runs' ids."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.daemon_threads = True
        self.runs: dict[str, Received] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.unknown: list[str] = []  # what it was asked and does not know

    def handle_error(self, *_: object) -> None:
        """Clients end by closing their connections."""

    def upsert_bucket(self, given: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.setdefault(given["name"], Received())
        run.fields.update({name: value for name, value in given.items() if value is not None})
        project = {"name": given["project"], "entity": {"name": "me"}}
        bucket = {"id": given["name"], "name": given["name"], "project": project, "historyLineCount": 0}
        bucket["displayName"] = given["displayName"]
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def resume_status(self, given: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(given["name"])
        if run is None:
            return {"id": given["project"], "name": given["project"], "bucket": None}
        tail = json.dumps([json.dumps(row) for row in run.history[-1:]])
        bucket = {"id": given["name"], "name": given["name"], "displayName": run.fields["displayName"]}
        bucket |= {"summaryMetrics": json.dumps(run.summary), "config": run.fields.get("config", "{}")}
        bucket |= {"historyLineCount": len(run.history), "historyTail": tail, "eventsTail": "[]", "tags": []}
        bucket |= {"eventsLineCount": 0, "logLineCount": 0, "wandbConfig": '{"t": 1}'}
        return {"id": given["project"], "name": given["project"], "bucket": bucket}

    def create_run_files(self, given: dict[str, Any]) -> dict[str, Any]:
        self.runs[given["run"]].files += given["files"]
        files = [{"name": name, "uploadUrl": f"{self.url}/upload"} for name in given["files"]]
        return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": files}}

    def stream(self, run_id: str, content: dict[str, Any]) -> None:
        run = self.runs[run_id]
        for name, part in (content.get("files") or {}).items():
            lines = [json.loads(line) for line in part["content"] if name.endswith((".json", ".jsonl"))]
            if name == "wandb-history.jsonl":
                run.history[part["offset"] :] = lines
            elif name == "wandb-summary.json":
                run.summary = lines[-1]
        if content.get("complete"):
            run.exit_code = content["exitcode"]


class _Handler(BaseHTTPRequestHandler):
    server: WandbServer
    protocol_version = "HTTP/1.1"
    viewer: ClassVar = {"viewer": {"id": "1", "entity": "me", "username": "me", "flags": "{}"}}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/file_stream"):
            self.server.stream(self.path.split("/")[-2], json.loads(body))
            self._answer({})
        elif self.path != "/graphql":
            self._answer({})  # wandb's own telemetry
        else:
            content = json.loads(body)
            self._answer({"data": self._result(content["query"], content.get("variables") or {})})

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({})

    def log_message(self, *_: object) -> None:
        pass

    def _result(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        operation = query.split("(")[0].split("{")[0].split()[-1]
        if operation == "Viewer":
            return self.viewer
        if operation == "UpsertBucket":
            return self.server.upsert_bucket(given)
        if operation == "CreateRunFiles":
            return self.server.create_run_files(given)
        if operation == "RunResumeStatus":
            return {"model": self.server.resume_status(given)}
        if operation == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if operation == "CreateArtifact":  # there already: none of its parts is asked for
            artifact = {"id": "1", "state": "COMMITTED", "artifactSequence": {"latestArtifact": {"id": "1"}}}
            return {"createArtifact": {"artifact": artifact}}
        self.server.unknown.append(query)
        return {}

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def upload(wandb_dir: Path, environment: dict[str, str]) -> dict[str, Received]:
    """`wandb sync wandb_dir/offline-*`, to a server of our own; what came, by the runs' ids."""
    command = [sys.executable, "-m", "wandb", "sync", *sorted(map(str, wandb_dir.glob("offline-*")))]
    with serving() as server:
        ours = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": 40 * "0", "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            command, env=environment | ours, capture_output=True, text=True, timeout=120, cwd=wandb_dir
        )
        assert done.returncode == 0, done.stderr
        assert not server.unknown, server.unknown
        return server.runs


@contextmanager
def serving() -> Iterator[WandbServer]:
    """A server while the block lasts."""
    with WandbServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
