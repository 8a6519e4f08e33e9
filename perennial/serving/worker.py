"""One process that answers, on a socket that is given to it."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys

import uvicorn

from perennial.serving import logging_config
from perennial.serving.app import create
from perennial.serving.guard import Guard
from perennial.serving.protocol import BoundedProtocol
from perennial.serving.service import Service
from perennial.serving.settings import ServeSettings
from tasks.origins import Allowed, loopback
from tasks.stores.settings import Settings


def _allowed(settings: Settings, serve: ServeSettings, listening: socket.socket) -> Allowed | None:
    """What a service on loopback without a token answers: no pages of other sites, in a browser on this machine."""
    if serve.open_to_others or serve.token is not None:
        return None
    own = (*loopback(int(listening.getsockname()[1])), *settings.allowed_origins)
    return Allowed(own, own)


def run_worker(settings: Settings, serve: ServeSettings, only: tuple[str, ...], listening: socket.socket) -> None:
    """Load the models, answer until SIGTERM or SIGINT, then end in order.

    Raises:
        UsageError: a pipeline has no YAML, or one with a mistake.
    """
    logging_config.configure()
    # While a model is loaded in one thread the others ask for the interpreter: they get it after half a millisecond.
    sys.setswitchinterval(0.0005)
    service = Service(settings, serve, only)
    service.load()
    gc.collect()
    gc.freeze()  # what was imported and loaded stays: looking through it again would hold requests up
    BoundedProtocol.head_seconds = serve.body_seconds
    config = uvicorn.Config(
        Guard(create(service), serve, service.metrics, _allowed(settings, serve, listening)),
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(serve.drain_seconds)),
        backlog=2048,
    )
    server = uvicorn.Server(config)

    def end(*_: object) -> None:
        server.should_exit = True  # also before uvicorn listens for signals; and once it has ended, it asks again

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    server.run(sockets=[listening])
    # Everything is closed by now. A thread in which a model hangs must not keep the process from ending.
    logging.shutdown()
    os._exit(0 if server.started else 1)
