"""The Dockerfile, without a Docker engine: what it copies is there, what it leaves out is needed by nothing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tasks.stores.settings import QUIET
from tests.support.docker import commands
from tests.support.docker.files import DOCKER, compose, copied, dockerfile, ours
from tests.support.world import ROOT


def _group(name: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {canonicalize_name(Requirement(one).name) for one in project["dependency-groups"][name]}


def stages() -> list[tuple[str, str]]:
    """The stages by name, each with what it is built from."""
    found = [re.fullmatch(r"(\S+) AS (\w+)", rest) for instruction, rest in dockerfile() if instruction == "FROM"]
    return [(one[2], one[1]) for one in found if one is not None]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"]
    for path in copied():
        assert (ROOT / path).exists(), path
        assert any(fnmatch(path, pattern) for pattern in kept), path
    assert sorted(kept) == sorted(copied())


def test_the_image_carries_all_that_the_program_imports() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert set(wheel["wheel"]["packages"]) <= set(copied())
    assert {"prefect.yaml", "requirements.lock"} <= set(copied())


def test_bases_have_a_version_and_what_is_shipped_builds_nothing() -> None:
    found = stages()
    assert [(name, base) for name, base in found if not base.startswith("python:")] == [("service", "worker")]
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base) for _, base in found[:-1])
    assert [name for name, _ in found] == ["build", "worker", "service"]
    shipped = dockerfile()[[place for place, (word, _) in enumerate(dockerfile()) if word == "FROM"][1] :]
    assert not [rest for word, rest in shipped if word == "RUN" and re.search(r"\b(pip|apt-get|gcc)\b", rest)]
    assert [rest for word, rest in shipped if word == "USER"] == ["10001:10001"]


def test_every_target_that_is_named_is_there() -> None:
    named = {one["build"]["target"] for one in ours(compose()).values()}
    for page in (ROOT / "docs" / "kubernetes.md", DOCKER / "README.md", DOCKER / "Dockerfile"):
        named |= set(re.findall(r"--target (\w+)", page.read_text(encoding="utf-8")))
    assert named == {"worker", "service"}
    assert named <= {name for name, _ in stages()}


def test_commands_of_the_image_are_there() -> None:
    for instruction, rest in dockerfile():
        if instruction in ("CMD", "HEALTHCHECK"):
            commands.check(re.findall(r'"([^"]+)"', rest))


def test_vendors_are_told_to_be_quiet() -> None:
    told = " ".join(rest for instruction, rest in dockerfile() if instruction == "ENV")
    for name in (
        "DO_NOT_TRACK",
        "GX_ANALYTICS_ENABLED",
        "MLFLOW_DISABLE_TELEMETRY",
        "PREFECT_SERVER_ANALYTICS_ENABLED",
    ):
        assert f"{name}={QUIET[name]}" in told


def test_the_development_group_can_be_left_out() -> None:
    """`pip check` in the build asks the same of the image itself."""
    left_out = _group("dev")
    marked = {"extra": ""}
    for one in distributions():
        if canonicalize_name(one.name) in left_out | {"perennial"}:
            continue
        for text in one.requires or ():
            need = Requirement(text)
            if canonicalize_name(need.name) in left_out and (need.marker is None or need.marker.evaluate(marked)):
                # What only others of the group need stays in the image unused, and may miss them.
                assert canonicalize_name(one.name) in _only_for(left_out), f"{one.name} needs {need.name}"


def _only_for(group: set[str]) -> set[str]:
    """Packages that nothing outside a group needs."""
    needs: dict[str, set[str]] = {}
    for one in distributions():
        for text in one.requires or ():
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                needs.setdefault(canonicalize_name(need.name), set()).add(canonicalize_name(one.name))
    return {name for name, users in needs.items() if users <= group}


def test_the_build_can_read_the_lock(tmp_path: Path) -> None:
    """pip takes the lock with --require-hashes and finds each hash in it; nothing is fetched, one line is resolved."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", lock.strip())
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"^\s*(-i|--index-url|--extra-index-url|--find-links|-f)\b|https?://", lock, re.MULTILINE)
    build = next(rest for instruction, rest in dockerfile() if instruction == "RUN" and "requirements.lock" in rest)
    assert "--require-hashes --no-deps -r requirements.lock" in build
    # An empty index: the parse is whole and without a mistake before the first package is asked for.
    words = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--require-hashes", "--no-deps"]
    one = tmp_path / "requirements.lock"
    one.write_text(lock, encoding="utf-8")
    done = subprocess.run(
        [*words, "--ignore-installed", "--find-links", str(tmp_path), "-r", str(one)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"No matching distribution found for \S+==", done.stderr), done.stderr
    assert "hash" not in done.stderr.lower()


@pytest.mark.parametrize("words", [["http", "http://127.0.0.1:9/"], ["worker"], ["nonsense"], []])
def test_a_health_check_that_gets_no_answer_says_so(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(DOCKER / "healthcheck.py"), *words],
        env={"PREFECT_API_URL": "http://127.0.0.1:9/api"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


def test_health_checks_ask_the_real_server(server: str) -> None:
    def ask(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, str(DOCKER / "healthcheck.py"), *words],
            env={"PREFECT_API_URL": server},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    assert ask("api") == (0, "")
    assert ask("http", f"{server}/ready") == (0, "")
    assert ask("http", f"{server}/nowhere")[0] == 1
    assert ask("worker")[0] == 1  # no pool, or nobody in it
