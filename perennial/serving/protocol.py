"""HTTP as uvicorn has it, with what it lacks: bounds on a request's head, and answers for callers that half-close."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST_HEAD_BYTES = 64 << 10


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        head_seconds: Seconds within which a connection's first head must have come.
    """

    head_seconds: ClassVar[float] = 10.0
    _head_task: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = False
    _last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._cancel_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless a head grows beyond what is taken."""
        self._head_bytes = self._head_bytes + len(data) if self._in_head else len(data)
        if self._in_head and self._head_bytes > _MOST_HEAD_BYTES:
            self._too_long()
            return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Start counting the head's bytes."""
        super().on_message_begin()
        self._in_head = True
        if self._head_task is None:
            self._start_head_timer()

    def on_headers_complete(self) -> None:
        """Stop the head's timer."""
        self._in_head = False
        self._cancel_head_timer()
        super().on_headers_complete()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own takes a truth value
        """Whether the connection stays open though the caller sends no more: until its whole request is answered."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        if cycle.more_body:  # the rest will never come
            cycle.disconnected = True
            cycle.message_event.set()
            return False
        cycle.keep_alive = False  # it is the newest: others may wait before it
        self._last = True
        return True

    def on_response_complete(self) -> None:
        """Close the connection after the last response."""
        super().on_response_complete()
        if self._last and self.cycle.response_complete and not self.transport.is_closing():
            self.transport.close()

    def _start_head_timer(self) -> None:
        self._head_task = self.loop.call_later(self.head_seconds, self._too_slow)

    def _cancel_head_timer(self) -> None:
        if self._head_task is not None:
            self._head_task.cancel()
            self._head_task = None

    def _too_slow(self) -> None:
        self._head_task = None
        if not self.transport.is_closing():
            self._close_with(b"HTTP/1.1 408 Request Timeout")

    def _too_long(self) -> None:
        self._close_with(b"HTTP/1.1 431 Request Header Fields Too Large")

    def _close_with(self, status: bytes) -> None:
        self._cancel_head_timer()
        self.transport.write(status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()
