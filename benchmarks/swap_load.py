"""The constant load of benchmarks.swap: `python -m benchmarks.swap_load HOST PORT PATH BODY RATE CONNECTIONS OUT`.

Requests begin by the clock, whether those before are answered or not; each is a line in OUT: when it was due and when
it was answered (seconds since 1970), its status, and the version that answered. SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path


class _Load:
    """Connections that take the requests in turns."""

    def __init__(self, host: str, port: int, request: bytes, out: Path) -> None:
        self.host, self.port, self.request, self.out = host, port, request, out
        self.due: asyncio.Queue[float] = asyncio.Queue()
        self.lines: list[str] = []
        self.ending = False

    async def send(self) -> None:
        """One connection, opened anew where it was closed."""
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        while True:
            due = await self.due.get()
            status, version = "error", ""
            try:
                if writer is None or writer.is_closing() or reader is None or reader.at_eof():
                    reader, writer = await asyncio.open_connection(self.host, self.port)
                writer.write(self.request)
                status, version = await asyncio.wait_for(_answer(reader), 30.0)
            except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError):
                writer = None
            self.lines.append(f"{due:.6f} {time.time():.6f} {status} {version or '-'}\n")
            self.due.task_done()

    async def run(self, rate: float, connections: int) -> None:
        """Until told to end."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end)
        senders = [asyncio.create_task(self.send()) for _ in range(connections)]
        began, number = time.time(), 0
        while not self.ending:
            due = began + number / rate
            number += 1
            await asyncio.sleep(max(0.0, due - time.time()))
            self.due.put_nowait(due)
        await self.due.join()
        for sender in senders:
            sender.cancel()
        self.out.write_text("".join(self.lines), encoding="ascii")

    def _end(self) -> None:
        self.ending = True


async def _answer(reader: asyncio.StreamReader) -> tuple[str, str]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    await reader.readexactly(int(fields["content-length"]))
    return head.split(" ", 2)[1], fields.get("x-perennial-version", "")


def main() -> None:
    """Load until SIGTERM."""
    host, port, path, body, rate, connections, out = sys.argv[1:]
    content = Path(body).read_bytes()
    fields = (f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(content)}")
    head = "\r\n".join((f"POST {path} HTTP/1.1", *fields, "", ""))
    load = _Load(host, int(port), head.encode() + content, Path(out))
    asyncio.run(load.run(float(rate), int(connections)))


if __name__ == "__main__":
    main()
