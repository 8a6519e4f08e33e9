"""Which addresses a server on loopback answers: pages of other sites, in a browser on the same machine, get nothing.

A browser lets any page send requests to loopback. It names the page in the Origin header of all of them that could
change something, and of WebSockets; and in the Host header the name by which it reached the server, also where that
name has been made to point to loopback (DNS rebinding). Programs send no Origin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_NAME = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]"
_ORIGIN = re.compile(rf"(?P<scheme>https?)://(?P<name>{_NAME})(:(?P<port>[0-9]{{1,5}}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Refusal(NamedTuple):
    """Why a request is not answered: an HTTP status, and the reason for people."""

    status: int
    reason: str


_HOST = Refusal(400, "The Host header is not an address of this server. A proxy's goes into PERENNIAL_ALLOWED_ORIGINS.")
_PAGE = Refusal(403, "The Origin header is not an address of this server's pages: other sites' pages get no answer.")


class Allowed:
    """What a server answers.

    Args:
        addresses: Origins that it is reached at, as `http://localhost:4200`.
        pages: Origins whose pages may ask; it is reached at these, too.
    """

    def __init__(self, addresses: Iterable[str], pages: Iterable[str] = ()) -> None:
        own = {normal(page) for page in pages}
        self._pages = frozenset(page.encode() for page in own)
        self._hosts = frozenset(host.encode() for host in hosts((*addresses, *own)))

    def refusal(self, headers: Iterable[tuple[bytes, bytes]]) -> Refusal | None:
        """Why a request with these headers, names in lower case, is refused; None where it is answered."""
        named: list[bytes] = []
        for name, value in headers:
            if name == b"host":
                named.append(value.lower())
            elif name == b"origin" and value.lower() not in self._pages:
                return _PAGE
        return None if len(named) == 1 and named[0] in self._hosts else _HOST


class OriginGuard:
    """Lets requests and WebSockets through to the app where they are allowed. Pure ASGI, for uvicorn.

    Args:
        app: What answers.
        allowed: What it answers.
    """

    def __init__(self, app: ASGIApp, allowed: Allowed) -> None:
        self._app, self._allowed = app, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or open one WebSocket."""
        asks = scope["type"] in ("http", "websocket")
        refusal = self._allowed.refusal(scope["headers"]) if asks else None
        if refusal is None:
            await self._app(scope, receive, send)
            return
        kind = "http.response" if scope["type"] == "http" else "websocket.http.response"
        body = f"{refusal.reason}\n".encode()
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),  # the request's body is not read
        ]
        await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
        await send({"type": f"{kind}.body", "body": body})


def loopback(port: int) -> tuple[str, ...]:
    """The origins that a server on a loopback port is reached at."""
    return tuple(f"http://{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))


def normal(address: str) -> str:
    """An origin as browsers write it: in lower case, without its scheme's default port.

    Raises:
        ValueError: it is none.
    """
    scheme, name, port = _parts(address)
    return f"{scheme}://{name}" if port == _DEFAULT_PORTS[scheme] else f"{scheme}://{name}:{port}"


def hosts(origins: Iterable[str]) -> frozenset[str]:
    """What the Host header may hold in requests to these origins: a default port may be named or not.

    Raises:
        ValueError: one is no origin.
    """
    names = set()
    for scheme, name, port in map(_parts, origins):
        names.add(f"{name}:{port}")
        if port == _DEFAULT_PORTS[scheme]:
            names.add(name)
    return frozenset(names)


def _parts(address: str) -> tuple[str, str, int]:
    match = _ORIGIN.fullmatch(address.strip().lower())
    port = 0 if match is None else int(match["port"] or _DEFAULT_PORTS[match["scheme"]])
    if match is None or not 0 < port < 65536:
        raise ValueError(
            f"{address!r}: expected an address such as https://prefect.example.org or http://localhost:8080, "
            "without a path and without *"
        )
    return match["scheme"], match["name"], port
