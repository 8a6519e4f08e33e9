"""Where the service listens: loopback by default."""

from __future__ import annotations

import logging
import socket

from perennial.serving import logging_config
from perennial.serving.settings import ServeSettings
from tasks.errors import UsageError


def listen(serve: ServeSettings) -> socket.socket:
    """A socket that listens.

    Raises:
        UsageError: the address can't be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            serve.host, serve.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        raise UsageError(
            f"{serve.host} port {serve.port} can't be used: {error.strerror or error}. Choose another with "
            "PERENNIAL_SERVE_HOST and PERENNIAL_SERVE_PORT."
        ) from None
    listening.setblocking(False)
    return listening


def log_address(serve: ServeSettings, listening: socket.socket) -> None:
    """Say where it listens, and warn where anybody may ask."""
    logging_config.configure()
    log = logging.getLogger("perennial.serving")
    host, port = listening.getsockname()[:2]
    log.info("listening", extra={"address": f"http://{host}:{port}", "workers": serve.workers})
    if serve.open_to_others and serve.token is None:
        log.warning("other machines reach this service, and no token is asked for: set PERENNIAL_SERVE_TOKEN")
