"""What a page in a browser gets from a real embedded server: nothing. The same requests as a browser sends them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
import websockets
from websockets.exceptions import InvalidStatus

EVIL = "https://evil.example"
SOCKETS = ("/events/in", "/events/out", "/logs/out")


def flows(server: str, name: str) -> int:
    """How many flows have a name."""
    asked = {"flows": {"name": {"any_": [name]}}}
    return len(httpx.post(f"{server}/flows/filter", json=asked, timeout=30).raise_for_status().json())


def own_origin(server: str) -> str:
    """The server's address, of which it has no pages."""
    return f"http://{urlsplit(server).netloc}"


@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:8080", ""])
def test_a_preflight_from_another_origin_is_refused(server: str, origin: str) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    answer = httpx.options(f"{server}/deployments/", headers={"origin": origin, **asked}, timeout=30)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("origin", [EVIL, "null"])
@pytest.mark.parametrize("kind", [{}, {"content-type": "text/plain"}, {"content-type": "application/json"}])
def test_a_post_of_another_origin_makes_nothing(server: str, origin: str, kind: Mapping[str, str]) -> None:
    name = f"page-{uuid4()}"
    body = json.dumps({"name": name}).encode()
    answer = httpx.post(f"{server}/flows/", content=body, headers={"origin": origin, **kind}, timeout=30)
    assert (answer.status_code, answer.text.partition(" is not ")[0]) == (403, "The Origin header")
    assert "access-control-allow-origin" not in answer.headers
    assert flows(server, name) == 0


def test_a_body_without_a_type_would_make_something_but_for_its_origin(server: str) -> None:
    """A browser sends it with no preflight, and Prefect reads it as JSON: what the guard is for."""
    name = f"program-{uuid4()}"
    body = json.dumps({"name": name}).encode()
    answer = httpx.post(f"{server}/flows/", content=body, timeout=30)
    assert answer.status_code == 201
    assert flows(server, name) == 1


def test_another_host_is_refused(server: str) -> None:
    port = urlsplit(server).port
    for host in (f"evil.example:{port}", "evil.example", "127.0.0.1:1", f"127.0.0.1.evil.example:{port}"):
        name = f"rebound-{uuid4()}"
        read = httpx.get(f"{server}/health", headers={"host": host}, timeout=30)
        made = httpx.post(f"{server}/flows/", json={"name": name}, headers={"host": host}, timeout=30)
        assert (read.status_code, made.status_code) == (400, 400), host
        assert read.text.startswith("The Host header is not an address of this server.")
        assert flows(server, name) == 0
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
        assert httpx.get(f"{server}/health", headers={"host": host}, timeout=30).status_code == 200, host


@pytest.mark.parametrize("path", SOCKETS)
def test_a_websocket_of_another_origin_is_refused(server: str, path: str) -> None:
    port = urlsplit(server).port

    async def status(host: str, origin: str | None) -> int:
        address = f"ws://{host}:{port}/api{path}"
        with pytest.raises(InvalidStatus) as error:
            async with websockets.connect(address, origin=origin, host="127.0.0.1", port=port):  # type: ignore[arg-type]
                pass
        return error.value.response.status_code

    async def statuses() -> list[int]:
        of_pages = [await status("127.0.0.1", origin) for origin in (EVIL, "null", own_origin(server))]
        return [*of_pages, await status("evil.example", None)]

    assert asyncio.run(statuses()) == [403, 403, 403, 400]


def test_prefects_own_clients_are_answered(server: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.events import Event
    from prefect.events.clients import PrefectEventsClient, PrefectEventSubscriber
    from prefect.events.filters import EventFilter, EventNameFilter

    name = f"tests.{uuid4()}"

    async def seen() -> str:
        async with get_client() as client:
            assert await client.api_healthcheck() is None
        wanted = EventFilter(event=EventNameFilter(name=[name]))
        async with PrefectEventSubscriber(api_url=server, filter=wanted) as subscriber:
            async with PrefectEventsClient(api_url=server) as events:
                await events.emit(Event(event=name, resource={"prefect.resource.id": "tests.guard"}))
            return (await asyncio.wait_for(anext(subscriber), 60)).event

    assert asyncio.run(seen()) == name
