"""Garbage, huge, slow and half-closed requests, tokens, bounds, the end: it answers right and stays up."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.serving.homes import NAME, ROW, Home
from tests.support.serving.running import Running, serving
from tests.support.world import ROOT

PATH = f"/pipelines/{NAME}/invocations"
BODY = json.dumps({"dataframe_records": [ROW]}).encode()


def _head(length: int, extra: bytes = b"") -> bytes:
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n".encode()
        + extra
        + b"\r\n"
    )


def _connect(service: Running) -> socket.socket:
    host, _, port = service.url.removeprefix("http://").partition(":")
    found = socket.create_connection((host, int(port)), timeout=15)
    found.settimeout(15)
    return found


def _named(service: Running, request: bytes) -> bytes:
    """A request with the service's own address as its host."""
    return request.replace(b"Host: x\r\n", f"Host: {service.url.removeprefix('http://')}\r\n".encode())


def _all(connection: socket.socket) -> bytes:
    pieces = []
    try:
        while piece := connection.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def _well(service: Running) -> None:
    assert service.process.poll() is None
    assert service.ask(NAME, [ROW]).status_code == 200


GARBAGE = {
    "no HTTP": b"\x00\xff\x16\x03\x01 garbage\r\n\r\n",
    "TLS": bytes.fromhex("160301020001000001fc0303") + b"\x00" * 64,
    "a method that is none": b"FROB / HTTP/1.1\r\nHost: x\r\n\r\n",
    "two lengths": _head(5, b"Content-Length: 7\r\n") + b"12345",
    "a length that is none": f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n".encode(),
    "a negative length": f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".encode(),
    "a chunk that is none": f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode(),
}


@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_is_turned_away(service: Running, case: str) -> None:
    with _connect(service) as connection:
        connection.sendall(_named(service, GARBAGE[case]))
        answer = _all(connection)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 405")), answer[:200]
    _well(service)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null", "Content-Type": "text/plain"}, 403),
        ({"Host": "evil.example"}, 400),
        ({"Host": "evil.example:8000"}, 400),
    ],
)
def test_pages_of_other_sites_and_other_hosts_get_no_answer(
    service: Running, headers: dict[str, str], status: int
) -> None:
    for path, body in ((PATH, BODY), (f"/pipelines/{NAME}/feedback", b"[]")):
        answer = service.client.post(path, content=body, headers=headers)
        assert answer.status_code == status, path
        assert "access-control-allow-origin" not in answer.headers
    own = service.client.post(PATH, content=BODY, headers={"Origin": service.url, "Content-Type": "application/json"})
    assert own.status_code == 200


def test_a_path_of_odd_bytes(service: Running) -> None:
    for path in (
        "/pipelines/%00/invocations",
        "/pipelines/..%2f..%2fetc/invocations",
        "/%ff%fe",
        "//",
        "/" + "a" * 4000,
    ):
        answer = service.client.post(path, content=BODY)
        assert answer.status_code in (404, 405), path
    _well(service)


def test_a_head_without_end_is_cut_off(service: Running) -> None:
    with _connect(service) as connection:
        connection.sendall(_named(service, f"POST {PATH} HTTP/1.1\r\nHost: x\r\n".encode()))
        try:
            for number in range(4000):
                connection.sendall(b"X-%d: %s\r\n" % (number, b"y" * 100))
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = _all(connection)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431")
    _well(service)


def test_who_sends_a_head_slowly_is_not_waited_for(service: Running) -> None:
    with _connect(service) as connection:
        began = time.monotonic()
        connection.sendall(b"POST / HT")
        assert _all(connection).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < 6.0
    with _connect(service) as connection:  # nothing at all
        assert _all(connection).startswith(b"HTTP/1.1 408")
    _well(service)


def test_who_sends_a_body_slowly_is_told(service: Running) -> None:
    with _connect(service) as connection:
        connection.sendall(_named(service, _head(len(BODY)) + BODY[:5]))
        answer = _all(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"REQUEST_TIMEOUT" in answer
    _well(service)


def test_a_caller_that_half_closes_gets_its_answer(service: Running) -> None:
    with _connect(service) as connection:
        connection.sendall(_named(service, _head(len(BODY)) + BODY))
        connection.shutdown(socket.SHUT_WR)
        answer = _all(connection)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"predictions"' in answer


def test_a_caller_that_goes_away_in_the_midst(service: Running) -> None:
    for sent in (BODY[:5], BODY):
        with _connect(service) as connection:
            connection.sendall(_named(service, _head(len(BODY)) + sent))
        with _connect(service) as connection:
            connection.sendall(_named(service, _head(len(BODY)) + sent))
            connection.shutdown(socket.SHUT_WR)
    time.sleep(0.2)
    _well(service)
    assert service.metric("perennial_requests_in_work") <= 1


def test_requests_one_behind_the_other_on_one_connection(service: Running) -> None:
    with _connect(service) as connection:
        connection.sendall(_named(service, (_head(len(BODY)) + BODY) * 5))
        connection.shutdown(socket.SHUT_WR)
        answer = _all(connection)
    assert answer.count(b"HTTP/1.1 200") == 5


def test_a_body_without_a_length_is_bounded_too(service: Running) -> None:
    def pieces() -> object:
        for _ in range(40):
            yield b" " * (64 << 10)

    answer = service.client.post(PATH, content=pieces())  # type: ignore[arg-type]  # an iterator of bytes
    assert answer.status_code == 413
    _well(service)


@pytest.fixture(scope="module")
def guarded(pair: Home, tmp_path_factory: pytest.TempPathFactory) -> object:
    """A service with a token and room for four requests."""
    settings = {"PERENNIAL_SERVE_TOKEN": "a-token-of-some-length", "PERENNIAL_SERVE_MOST_REQUESTS": "4"}
    log: Path = tmp_path_factory.mktemp("log") / "serving.log"
    with serving(pair.world.home, pair.world.configs, log, environment=settings) as found:
        yield found


def test_without_the_token_nothing_is_told(guarded: Running) -> None:
    with httpx.Client(base_url=guarded.url) as stranger:
        for sent in ("", "Bearer", "Bearer wrong", "Basic a-token-of-some-length", "Bearer a-token-of-some-lengt"):
            headers = {"Authorization": sent} if sent else {}
            for method, path in (("POST", PATH), ("GET", "/metrics"), ("GET", "/pipelines"), ("GET", "/docs")):
                answer = stranger.request(method, path, headers=headers)
                assert answer.status_code == 401, (sent, path)
                assert answer.headers["www-authenticate"] == "Bearer"
        assert stranger.get("/ping").status_code == stranger.get("/health").status_code == 200
    assert guarded.ask(NAME, [ROW]).status_code == 200
    assert "a-token-of" not in guarded.log.read_text()


def test_more_requests_than_it_takes_are_told_to_come_again(guarded: Running) -> None:
    held = [_connect(guarded) for _ in range(4)]
    try:
        token = b"Authorization: Bearer a-token-of-some-length\r\n"
        for connection in held:
            connection.sendall(_head(len(BODY), token) + BODY[:5])
        time.sleep(0.3)
        answer = guarded.ask(NAME, [ROW])
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert guarded.client.get("/health").status_code == 200
        for connection in held:
            connection.sendall(BODY[5:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    finally:
        for connection in held:
            connection.close()


LOADED = """
import sys
from fastapi.testclient import TestClient
from perennial.serving.app import create
from perennial.serving.guard import Guard
from perennial.serving.service import Service
from perennial.serving.settings import load_settings as load_serve
from tasks.stores.settings import load_settings

service = Service(load_settings(), load_serve())
service.load()
with TestClient(Guard(create(service), load_serve(), service.metrics)) as client:
    rows = [{"x1": 0.5, "x2": None, "kind": "bus"}]
    for path in ("/pipelines/trips/invocations", "/invocations"):
        assert client.post(path, json={"instances": rows}).status_code == 200
    for path in ("/ping", "/health", "/version", "/metrics", "/docs", "/openapi.json", "/pipelines"):
        assert client.get(path).status_code == 200, path
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_nothing_that_it_does_not_need_is_in_its_process(pair: Home) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert {"sklearn", "fastapi", "perennial"} <= loaded
    assert not loaded & {"prefect", "great_expectations", "evidently", "mlflow", "flows", "typer"}


def test_told_to_end_it_answers_what_it_has_begun(pair: Home, tmp_path: Path) -> None:
    with serving(pair.world.home, pair.world.configs, tmp_path / "serving.log") as found:
        stop = threading.Event()
        told: list[int | str] = []

        def load() -> None:
            with httpx.Client(base_url=found.url, timeout=30.0) as client:
                while not stop.is_set():
                    try:
                        told.append(client.post(PATH, content=BODY).status_code)
                    except httpx.ConnectError:
                        return  # it has ended: nothing was taken
                    except httpx.RemoteProtocolError as error:
                        if "without sending a response" not in str(error):
                            told.append(str(error))
                        return  # a kept connection was closed before the request came

        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(load)
            time.sleep(1.0)
            assert found.end(signal.SIGTERM) == 0
            stop.set()
        assert len(told) > 20
        assert set(told) <= {200, 503}


@pytest.mark.system
def test_several_processes_share_a_socket_their_numbers_and_an_end(pair: Home, tmp_path: Path) -> None:
    with serving(
        pair.world.home, pair.world.configs, tmp_path / "serving.log", environment={"PERENNIAL_SERVE_WORKERS": "2"}
    ) as found:
        for _ in range(100):
            if len(found.lines("serves")) == 2:
                break
            time.sleep(0.1)
        for _ in range(40):
            with httpx.Client(base_url=found.url) as client:  # a connection each
                assert client.post(PATH, content=BODY).status_code == 200
        assert found.metric("perennial_predictions_total", role="champion") == 40
        children = [int(one) for one in _children(found.process.pid)]
        assert len(children) == 2
        os.kill(children[0], signal.SIGKILL)
        for _ in range(200):
            if len(_children(found.process.pid)) == 2 and len(found.lines("serves")) == 3:
                break
            time.sleep(0.1)
        assert found.ask(NAME, [ROW]).status_code == 200
        assert found.lines("a process ended; another is started")[0]["exit"] == -9
        found.process.kill()  # the children end by themselves
        found.process.wait()
        for _ in range(100):
            if not any(Path(f"/proc/{child}").exists() for child in children[1:]):
                break
            time.sleep(0.1)
        assert not Path(f"/proc/{children[1]}").exists()


def _children(pid: int) -> list[str]:
    found: list[str] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return found


def test_what_can_not_be_is_told_in_a_line(pair: Home, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wrong = {
            "another program": {"PERENNIAL_SERVE_PORT": str(taken.getsockname()[1])},
            "PERENNIAL_SERVE_WORKERS": {"PERENNIAL_SERVE_WORKERS": "none"},
            "fewer than 16 characters": {"PERENNIAL_SERVE_TOKEN": "short"},
        }
        for told, settings in wrong.items():
            done = subprocess.run(
                [sys.executable, "-m", "perennial.serving"],
                cwd=ROOT,
                env={**os.environ, **settings},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 2, told
            assert "Traceback" not in done.stderr
            assert done.stderr.startswith("perennial: ")
            assert "short" not in done.stderr or told != "fewer than 16 characters"
    done = subprocess.run(
        [sys.executable, "-m", "perennial.serving", "nobody"],
        cwd=ROOT,
        env={**os.environ, "PERENNIAL_SERVE_PORT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "No pipeline is named 'nobody'" in done.stderr
