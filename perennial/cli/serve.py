"""The command `perennial serve`: becomes the prediction service, a process without what is not needed there."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer


def serve(
    names: Annotated[list[str] | None, typer.Argument(help="Pipelines to serve; left out, all.")] = None,
    host: Annotated[str | None, typer.Option(help="Where to listen; PERENNIAL_SERVE_HOST, or loopback.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="PERENNIAL_SERVE_PORT, or 8000.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that answer.")] = None,
) -> None:
    """Serve the champions' predictions over HTTP: MLflow's scoring protocol, following every promotion."""
    given = {"HOST": host, "PORT": port, "WORKERS": workers}
    message = {f"PERENNIAL_SERVE_{name}": str(value) for name, value in given.items() if value is not None}
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", "perennial.serving", *(names or [])], {**os.environ, **message})  # noqa: S606
