"""One command's session with Prefect: PREFECT_API_URL's server, else that of `perennial up`, else one of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from perennial.ops.prefect_server import LocalServer, embedded_environment
from perennial.ops.running import running
from tasks.stores.settings import Settings


@contextmanager
def prefect_session(settings: Settings, *flows: str) -> Iterator[None]:
    """Make Prefect usable while the block runs; enter it before importing a flow.

    Args:
        settings: Where home is.
        flows: Modules of flows, which are imported while an embedded server starts.
    """
    for name, value in embedded_environment(settings).items():
        os.environ.setdefault(name, value)
    found = None if os.environ.get("PREFECT_API_URL") else running(settings)
    if found is not None and found.ready:
        os.environ["PREFECT_API_URL"] = found.api
    server = None if os.environ.get("PREFECT_API_URL") else LocalServer(settings)
    if server is not None:
        server.start()
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    for name in flows:
        import_module(name)
    if server is not None:
        server.wait()
    # Each flow would wait up to a second for its heartbeat thread to end, and someone watches a command. An embedded
    # server is stopped at exit, after Prefect has sent its last logs and events.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield
