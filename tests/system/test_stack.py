"""The pinned vendors start together, on this interpreter, without telling anyone outside."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tasks.stores.settings import QUIET
from tests.support.world import ROOT

MODULES = {"openlineage-python": "openlineage", "pyyaml": "yaml", "scikit-learn": "sklearn"}
START = """
import importlib, json, os, sys, urllib.request
from pathlib import Path
from tasks.stores.settings import Settings, prepare
settings = Settings(home=Path(sys.argv[1]))
prepare(settings)
from perennial.ops.session import prefect_session
with prefect_session(settings):
    for name in sys.argv[2:]:
        importlib.import_module(name)
    url = os.environ["PREFECT_API_URL"]
    with urllib.request.urlopen(url + "/health", timeout=30) as answer:
        health = json.load(answer)
    with urllib.request.urlopen(url + "/admin/version", timeout=30) as answer:
        served = json.load(answer)
    child = int(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()[0])
    told = Path(f"/proc/{child}/environ").read_bytes().decode().split(chr(0))
    from mlflow.telemetry.utils import is_telemetry_disabled
    from prefect.settings import get_current_settings
    print(json.dumps({
        "health": health,
        "served": served,
        "url": url,
        "server_environment": dict(line.split("=", 1) for line in told if "=" in line),
        "prefect_analytics": get_current_settings().server.analytics_enabled,
        "mlflow_disabled": is_telemetry_disabled(),
    }))
"""


def requirements() -> dict[str, str]:
    """Our dependencies by name, with the pinned version or nothing."""
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    found = [re.fullmatch(r"([a-zA-Z0-9_.-]+)(?:==([0-9.]+))?", line) for line in lines]
    return {one.group(1): one.group(2) or "" for one in found if one is not None}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One process that imports every vendor and starts the server, with none of our variables set from outside."""
    env = {name: value for name, value in os.environ.items() if name not in QUIET and not name.startswith("PREFECT_")}
    modules = [MODULES.get(name, name.replace("-", "_")) for name in requirements()]
    done = subprocess.run(
        [sys.executable, "-c", START, str(tmp_path_factory.mktemp("stack") / "home"), *modules],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_the_installed_versions_are_the_pinned_ones() -> None:
    pinned = {name: number for name, number in requirements().items() if number}
    assert len(pinned) > 5
    assert {name: version(name) for name in pinned} == pinned


def test_every_vendor_imports_beside_a_server_that_answers(started: dict[str, Any]) -> None:
    assert started["health"] is True
    assert started["served"] == requirements()["prefect"]
    assert started["url"].startswith("http://127.0.0.1:")


def test_the_server_keeps_quiet_too(started: dict[str, Any]) -> None:
    assert started["server_environment"].items() >= QUIET.items()


def test_the_vendors_themselves_say_that_telemetry_is_off(started: dict[str, Any]) -> None:
    """Great Expectations 1.24 has no analytics module any more; its variable stays for older and later ones."""
    assert (started["prefect_analytics"], started["mlflow_disabled"]) == (False, True)


def test_the_server_ends_with_its_parent(started: dict[str, Any]) -> None:
    port = started["url"].rsplit(":", 1)[1].split("/")[0]
    listening = {line.split()[1].rsplit(":", 1)[1] for line in _sockets() if line.split()[3] == "0A"}
    assert f"{int(port):04X}" not in listening


def _sockets() -> list[str]:
    return Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
