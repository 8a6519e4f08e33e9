"""What tests of events share: OpenLineage's own schemas, and a small endpoint that takes, refuses, hangs or babbles."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.support.world import ROOT

SPEC = ROOT.parent / "shared" / "data" / "openlineage_spec"
needs_spec = pytest.mark.skipif(not SPEC.is_dir(), reason=f"OpenLineage's JSON schemas are not in {SPEC}")
_OURS = ("perennial_",)


class Spec:
    """The schemas, which refer to each other by address, read from files: nothing is fetched."""

    def __init__(self) -> None:
        found = [
            json.loads(path.read_text(encoding="utf-8")) for path in [*SPEC.glob("*.json"), *SPEC.glob("*/*.json")]
        ]
        self._by_id = {one["$id"]: one for one in found}
        resources = [(name, Resource.from_contents(one)) for name, one in self._by_id.items()]
        self._registry: Registry[Any] = Registry().with_resources(resources)
        self._core = next(name for name in self._by_id if name.endswith("/OpenLineage.json"))

    def problems(self, event: dict[str, Any]) -> Iterator[str]:
        """What is wrong with an event, and with each of its facets by that facet's own schema."""
        # Not by the root, which takes an event of any kind: every field is optional somewhere.
        yield from self._errors(f"{self._core}#/$defs/RunEvent", event, "event")
        for where, facets in _facets(event):
            for name, facet in facets.items():
                address = facet["_schemaURL"].partition("#")[0]
                if address == self._core and name.startswith(_OURS):
                    continue
                if name not in self._by_id.get(address, {}).get("properties", {}):
                    yield f"{where}.{name}: no such facet in {address}"
                else:
                    yield from self._errors(address, {name: facet}, f"{where}.{name}")

    def _errors(self, address: str, value: object, where: str) -> Iterator[str]:
        validator = Draft202012Validator(
            {"$ref": address}, registry=self._registry, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        for error in validator.iter_errors(value):
            yield f"{where}: {error.json_path}: {error.message}"


def _facets(event: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "run", event["run"].get("facets", {})
    yield "job", event["job"].get("facets", {})
    for side in ("inputs", "outputs"):
        for one in event.get(side, []):
            for kind in ("facets", "inputFacets", "outputFacets"):
                yield f"{side}[{one['name']}].{kind}", one.get(kind, {})


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a file, one JSON a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Receiver:
    """An endpoint on loopback, and the events that came to it."""

    def __init__(self, status: int) -> None:
        self.events: list[dict[str, Any]] = []
        self.paths: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.paths.add(self.path)
                outer.events.append(json.loads(body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that http.server has
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def receiver(status: int = 201) -> Iterator[Receiver]:
    """An endpoint that reads events and answers with a status."""
    made = Receiver(status)
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join()


@contextmanager
def odd_endpoint(answer: bytes | None) -> Iterator[str]:
    """Address of a socket that takes connections and never answers (None), or answers these bytes and hangs up."""
    listening = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            held.append(connection)
            if answer is not None:
                connection.recv(65536)
                connection.sendall(answer)
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for one in held:
            one.close()
        thread.join()


def closed_port() -> str:
    """Address that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"
