"""What containers ask themselves: exit 0 where the answer is good, else 1 with the reason.

python docker/healthcheck.py http URL    the address answers 2xx
python docker/healthcheck.py api         Prefect's API answers
python docker/healthcheck.py worker      Prefect's API has lately heard from this machine's worker
python docker/healthcheck.py services    Prefect's background services beat in Redis
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

_SECONDS = 8.0
_BEAT_SECONDS = 30.0  # they beat every two seconds


def http(url: str) -> str:
    """Ask an address; what is wrong, or nothing."""
    _answer(url)
    return ""


def api() -> str:
    """Ask Prefect's API; what is wrong, or nothing."""
    return http(f"{os.environ['PREFECT_API_URL']}/health")


def worker() -> str:
    """Ask Prefect's API for this machine's worker; what is wrong, or nothing."""
    name = f"perennial-{os.uname().nodename}"
    asked = {"workers": {"status": {"any_": ["ONLINE"]}}}
    found = _answer(f"{os.environ['PREFECT_API_URL']}/work_pools/perennial/workers/filter", asked)
    return "" if name in {one["name"] for one in found} else f"Prefect has not heard from worker {name} lately"


def services() -> str:
    """Look for a beat of Prefect's background services in Redis; what is wrong, or nothing."""
    import redis

    with redis.Redis.from_url(os.environ["PREFECT_SERVER_DOCKET_URL"], socket_timeout=_SECONDS) as client:
        beats: list[Any] = client.zrange("prefect:workers", -1, -1, withscores=True)
    age = time.time() - beats[0][1] if beats else None
    if age is None:
        return "no background service beats"
    return "" if age < _BEAT_SECONDS else f"the last beat of a background service is {age:.0f} s old"


def _answer(url: str, body: object = None) -> Any:
    request = urllib.request.Request(url, headers={"content-type": "application/json"})  # noqa: S310  # our own address
    if body is not None:
        request.data = json.dumps(body).encode()
    login = os.environ.get("PREFECT_API_AUTH_STRING", "")
    if login:
        request.add_header("authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
        text = answer.read()
    return json.loads(text) if body is not None else None


_CHECKS: dict[str, Callable[..., str]] = {"http": http, "api": api, "worker": worker, "services": services}


def main(words: list[str]) -> int:
    """Ask what the words say; the exit code."""
    try:
        problem = _CHECKS[words[0]](*words[1:])
    except Exception as error:  # whatever it is, the answer is not good
        problem = f"{type(error).__name__}: {error}"
    if problem:
        sys.stderr.write(f"{problem}\n")
    return int(bool(problem))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
