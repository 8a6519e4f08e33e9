"""The service keeps to its own OpenAPI document, whatever it is sent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.serving.homes import ROW
from tests.support.serving.running import Running

_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
)


def test_no_request_brings_it_down_or_gets_what_the_document_does_not_tell(service: Running, tmp_path: Path) -> None:
    options = ["--max-examples", "60", "--seed", "7", "--phases", "examples,coverage,fuzzing", "--no-color"]
    done = subprocess.run(
        [
            *[sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"],
            *[*options, "--checks", ",".join(_CHECKS), "--generation-database", "none"],
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: " in done.stdout
    assert service.ask("trips", [ROW]).status_code == 200
    assert not service.lines("a request failed")
