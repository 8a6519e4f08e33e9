"""What every request passes first: who asks, how much it holds, how many are in work. Pure ASGI, to be fast."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from uuid import uuid4

import orjson

from perennial.serving.metrics import Metrics
from perennial.serving.problem import RequestRejectedError
from perennial.serving.settings import ServeSettings
from tasks.origins import Allowed

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("perennial.serving")
_OPEN = frozenset({"/ping", "/health", "/version"})
_RETRY_SECONDS = 1


class Guard:
    """Lets requests through to the app, one by one checked.

    Each gets an id, or keeps the one that it came with in `X-Request-Id`, and its body is read here, whole, within
    bounds of size and time.

    Args:
        app: What answers.
        serve: The bounds, and the token.
        metrics: Counts each response.
        allowed: The hosts and pages that it answers; None where a token, or whoever publishes its port, decides that.
    """

    def __init__(self, app: App, serve: ServeSettings, metrics: Metrics, allowed: Allowed | None = None) -> None:
        self._app, self._serve, self._metrics, self._allowed = app, serve, metrics, allowed
        self._token = None if serve.token is None else serve.token.get_secret_value().encode()
        self._most_bytes = int(serve.body_mebibytes * (1 << 20))
        self.in_work = 0
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other kinds of connections go to the app as they are."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, arrived = time.perf_counter(), time.time()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request = _request_id(headers.get(b"x-request-id", b""))
        state = scope.setdefault("state", {})
        state.update(request=request, began=began, at_us=int(arrived * 1e6), pipeline="")
        status, begun = 500, False

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request.encode())]
            await send(message)

        self.in_work += 1
        self._metrics.in_work.inc()
        try:
            await self._authorize_and_forward(scope, headers, receive, answer)
        except RequestRejectedError as refused:
            await _send_rejection(answer, refused)
        except ConnectionError:
            status = 499  # the caller went away: nobody is answered
        except Exception:
            _log.exception("a request failed", extra={"request": request, "path": _path(scope)})
            if not begun:
                text = f"An error of the service; its log tells where (request {request})."
                await _send_rejection(answer, RequestRejectedError(500, text))
        finally:
            self.in_work -= 1
            self._metrics.in_work.dec()
            self._record_request(scope, state, status, time.perf_counter() - began)

    async def _authorize_and_forward(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        if scope["path"] in _OPEN:
            await self._app(scope, receive, send)
            return
        refusal = None if self._allowed is None else self._allowed.refusal(scope["headers"])
        if refusal is not None:
            raise RequestRejectedError(refusal.status, refusal.reason)
        if self._token is not None and not self._is_authorized(headers.get(b"authorization", b"")):
            raise RequestRejectedError(
                401, "Expected the header `Authorization: Bearer TOKEN` with this service's token."
            )
        if self.in_work > self._serve.most_requests or self.draining:
            reason = "The service is shutting down." if self.draining else "Too many requests are in work."
            raise RequestRejectedError(503, f"{reason} Try again.", retry_after=_RETRY_SECONDS)
        if scope["method"] in ("POST", "PUT", "PATCH"):
            body = await self._body(headers, receive)
            scope["state"]["body"] = body
        await self._app(scope, receive, send)

    def _is_authorized(self, sent: bytes) -> bool:
        kind, _, token = sent.partition(b" ")
        known = self._token or b""
        return hmac.compare_digest(token.strip(), known) and kind.lower() == b"bearer"

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._most_bytes:
            raise self._too_large()
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._serve.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionError
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    if size > self._most_bytes:
                        raise self._too_large()
                    if not message.get("more_body", False):
                        return b"".join(pieces)
        except TimeoutError:
            raise RequestRejectedError(408, f"The body did not come within {self._serve.body_seconds:g} s.") from None

    def _too_large(self) -> RequestRejectedError:
        return RequestRejectedError(
            413,
            f"The body holds more than the {self._serve.body_mebibytes:g} MiB that are taken. Send several requests.",
        )

    def _record_request(self, scope: Scope, state: dict[str, Any], status: int, seconds: float) -> None:
        endpoint = getattr(scope.get("route"), "path", "none")
        pipeline = state.get("pipeline", "")
        self._metrics.requests.labels(pipeline, endpoint, str(status)).inc()
        if pipeline:
            self._metrics.seconds.labels(pipeline).observe(seconds)
        wanted = self._serve.access_log
        if wanted == "all" or (wanted == "errors" and status >= 400):
            fields = {
                "request": state["request"],
                "method": scope["method"],
                "path": _path(scope),
                "status": status,
                "ms": round(seconds * 1000, 2),
            }
            _log.info("answered", extra=fields)


def _request_id(sent: bytes) -> str:
    """The caller's own id where it is a plain short word, else a new one."""
    text = sent.decode("latin-1")
    return text if 0 < len(text) <= 64 and text.replace("-", "").isalnum() and text.isascii() else uuid4().hex


def _path(scope: Scope) -> str:
    """The path without what stands behind it, as that may hold anything."""
    return str(scope["path"])[:200]


async def _send_rejection(send: Send, refused: RequestRejectedError) -> None:
    body = orjson.dumps(refused.body())
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refused.retry_after:
        headers.append((b"retry-after", str(refused.retry_after).encode()))
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refused.status in (408, 413):
        headers.append((b"connection", b"close"))  # what is left of the body is not read
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
