"""Which requests a loopback server answers, by their headers alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.origins import Allowed, OriginGuard, hosts, loopback, normal

PROXY = "https://prefect.example.org"
PAGES = ("http://127.0.0.1:4200", "http://localhost:4200", PROXY)
ALLOWED = Allowed(loopback(4200), PAGES)
OWN_HOSTS = ("127.0.0.1:4200", "localhost:4200", "LocalHost:4200", "[::1]:4200", "prefect.example.org")
NO_PAGES = Allowed(loopback(4200))


def status(allowed: Allowed, *headers: tuple[str, str]) -> int | None:
    refusal = allowed.refusal([(name.encode(), value.encode()) for name, value in headers])
    return None if refusal is None else refusal.status


@pytest.mark.parametrize("host", [*OWN_HOSTS, "prefect.example.org:443"])
@pytest.mark.parametrize("origin", [None, *PAGES, "HTTP://LOCALHOST:4200"])
def test_programs_and_its_own_pages_are_answered(host: str, origin: str | None) -> None:
    headers = [("host", host), ("accept", "*/*"), *([("origin", origin)] if origin else [])]
    assert status(ALLOWED, *headers) is None


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example",
            "evil.example:4200",
            "127.0.0.1",
            "localhost",
            "localhost:4201",
            "localhost.:4200",
        ),
        *("127.0.0.1:4200.evil.example", "127.0.0.1.evil.example:4200", "evil@localhost:4200", "10.evil.example:4200"),
        *("::1:4200", "prefect.example.org:4200", "prefect.example.org.", "", " ", "127.0.0.1:4200,evil.example"),
    ],
)
def test_another_host_is_refused(host: str) -> None:
    assert status(ALLOWED, ("host", host)) == 400


def test_a_host_is_needed_and_only_one() -> None:
    assert status(ALLOWED) == 400
    assert status(ALLOWED, ("host", "localhost:4200"), ("host", "evil.example")) == 400
    assert status(ALLOWED, ("host", "localhost:4200"), ("host", "localhost:4200")) == 400


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "https://evil.example",
            "null",
            "",
            "*",
            "http://localhost",
            "http://localhost:8080",
            "https://localhost:4200",
        ),
        *("http://127.0.0.1:42000", "http://localhost:4200.evil.example", "http://prefect.example.org", "file://"),
        *("http://localhost:4200/", "http://localhost:4200 https://evil.example", f"{PROXY}:443", "http://[::1]:4200"),
    ],
)
def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    assert status(ALLOWED, ("host", "localhost:4200"), ("origin", origin)) == 403
    assert status(ALLOWED, ("host", "localhost:4200"), ("origin", PROXY), ("origin", origin)) == 403


@pytest.mark.parametrize("origin", ["http://127.0.0.1:4200", "http://localhost:4200", "null"])
def test_a_server_without_pages_answers_none(origin: str) -> None:
    assert status(NO_PAGES, ("host", "127.0.0.1:4200")) is None
    assert status(NO_PAGES, ("host", "127.0.0.1:4200"), ("origin", origin)) == 403


@given(host=st.binary(max_size=40), origin=st.none() | st.binary(max_size=40))
def test_nothing_but_what_is_named_gets_through(host: bytes, origin: bytes | None) -> None:
    headers = [(b"host", host), *([(b"origin", origin)] if origin is not None else [])]
    own = host.lower() in {one.lower().encode() for one in (*OWN_HOSTS, "prefect.example.org:443")}
    page = origin is None or origin.lower() in {one.encode() for one in PAGES}
    assert (ALLOWED.refusal(headers) is None) == (own and page)


@pytest.mark.parametrize(
    ("address", "origin", "names"),
    [
        (
            "https://Prefect.example.org",
            "https://prefect.example.org",
            {"prefect.example.org", "prefect.example.org:443"},
        ),
        ("http://a:80", "http://a", {"a", "a:80"}),
        (" http://localhost:14200 ", "http://localhost:14200", {"localhost:14200"}),
        ("https://a:80", "https://a:80", {"a:80"}),
        ("http://[::1]:4200", "http://[::1]:4200", {"[::1]:4200"}),
    ],
)
def test_an_address_is_an_origin_and_hosts(address: str, origin: str, names: set[str]) -> None:
    assert normal(address) == origin
    assert hosts([address]) == hosts([origin]) == names


@pytest.mark.parametrize(
    "address",
    [
        *("", "*", "https://*", "https://*.example.org", "prefect.example.org", "localhost:4200", "ftp://a", "null"),
        *("http://a/", "http://a/api", "http://a?b", "http://user@a", "http://a:0", "http://a:70000", "http://a b"),
        *("http://", "http://-a", "http://a,http://b", "http://a:", "http://a\nb"),
    ],
)
def test_what_is_no_origin_is_said_to_be_none(address: str) -> None:
    with pytest.raises(ValueError, match="expected an address such as"):
        normal(address)


@pytest.mark.parametrize(
    ("scope", "sent"),
    [
        ({"type": "lifespan"}, ["app"]),
        ({"type": "http", "headers": [(b"host", b"localhost:4200")]}, ["app"]),
        ({"type": "websocket", "headers": [(b"host", b"localhost:4200")]}, ["app"]),
        ({"type": "http", "headers": []}, ["http.response.start", "http.response.body"]),
        ({"type": "websocket", "headers": []}, ["websocket.http.response.start", "websocket.http.response.body"]),
    ],
)
def test_what_is_refused_never_reaches_the_app(scope: dict[str, Any], sent: list[str]) -> None:
    messages: list[str] = []

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        messages.append("app")

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body is not for the guard")

    async def send(message: Any) -> None:
        messages.append(message["type"])

    asyncio.run(OriginGuard(app, ALLOWED)(scope, receive, send))
    assert messages == sent
