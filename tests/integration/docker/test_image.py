"""The Dockerfile and the locks, without a container engine: what is copied is there, what is left out is not needed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import requires
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tasks.stores.settings import QUIET
from tests.support.docker import commands
from tests.support.docker.files import DOCKER, compose, copied, dockerfile, ours, required_variables
from tests.support.world import ROOT


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
    assert "requirements-dev.lock" not in copied()


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


def test_a_build_passes_its_commit_on() -> None:
    worker = dockerfile()[[place for place, (word, _) in enumerate(dockerfile()) if word == "FROM"][1] :]
    assert ("ARG", "GIT_COMMIT=") in worker
    assert ("ENV", "PERENNIAL_GIT_COMMIT=$GIT_COMMIT") in worker
    for name, service in ours(
        compose({**dict.fromkeys(required_variables(), "unused"), "GIT_COMMIT": "abc123"})
    ).items():
        assert service["build"]["args"] == {"GIT_COMMIT": "abc123"}, name
    places = ("docs/kubernetes.md", "docker/README.md", "docker/Dockerfile", "docker/compose.yaml")
    texts = [(ROOT / place).read_text(encoding="utf-8") for place in places]
    assert len({tuple(re.findall(r"export GIT_COMMIT=\$\(git describe .+\)", text)) for text in texts}) == 1
    builds = [line for text in texts for line in re.findall(r"docker build .+", text)]
    assert builds
    assert all("--build-arg GIT_COMMIT " in line for line in builds)


def test_the_shipped_lock_has_what_the_project_needs_and_nothing_else() -> None:
    names = {pin.name for pin in pins("requirements.lock") if here(pin.line)}
    assert closure("perennial") == names | {"perennial"}


def test_the_locks_lie_on_top_of_each_other() -> None:
    """A package has one version and the same hashes in all of them."""
    production, development = pins("requirements.lock"), pins("requirements-dev.lock")
    shipped = {pin.name for pin in production}
    shared = {(pin.name, pin.version, pin.hashes) for pin in development if pin.name in shipped}
    assert shared <= {(pin.name, pin.version, pin.hashes) for pin in production}
    assert set(pins("requirements-build.lock")) <= set(development)
    group = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    named = {
        canonicalize_name(Requirement(text).name) for text in group["build"] + group["dev"] if isinstance(text, str)
    }
    assert named <= {pin.name for pin in development}
    assert not named & shipped


class Pin(NamedTuple):
    """An entry of a lock."""

    line: str
    name: str
    version: str
    hashes: frozenset[str]


def pins(file: str) -> list[Pin]:
    """A lock's entries; those of one package that are for different platforms apart."""
    listed = []
    for entry in re.split(r"\n(?=\S)", (ROOT / file).read_text(encoding="utf-8").strip()):
        line = entry.splitlines()[0].removesuffix("\\").strip()
        name, version = line.split(" ;")[0].split("==")
        listed.append(Pin(line, canonicalize_name(name), version, frozenset(re.findall(r"sha256:\w+", entry))))
    return listed


def here(line: str) -> bool:
    """Whether a requirement is meant for this platform and Python."""
    marker = Requirement(line).marker
    return marker is None or marker.evaluate({"extra": ""})


def closure(name: str) -> set[str]:
    """A distribution and all that it needs, by what is installed."""
    reached: set[tuple[str, str]] = set()
    left = [(name, "")]
    while left:
        package, extra = left.pop()
        reached.add((package, extra))
        for need in map(Requirement, requires(package) or ()):
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                own = canonicalize_name(need.name)
                left += [known for known in [(own, ""), *((own, one) for one in need.extras)] if known not in reached]
    return {package for package, _ in reached}


def test_the_build_can_read_its_locks(tmp_path: Path) -> None:
    """pip takes the locks with --require-hashes and finds each hash; nothing is fetched, one line is resolved."""
    locks = ("requirements.lock", "requirements-build.lock")
    installs = " ".join(rest for instruction, rest in dockerfile() if instruction == "RUN" and "requirements" in rest)
    assert [install.rpartition("/")[2] for install in re.findall(r"-r (\S+)", installs)] == list(locks)
    assert installs.count("install") == installs.count("--require-hashes --no-deps -r ") == len(locks)
    # An empty index: the parse is whole and without a mistake before the first package is asked for.
    words = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--require-hashes", "--no-deps"]
    for name in (*locks, "requirements-dev.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert all(pin.hashes for pin in pins(name))
        assert not re.search(r"^\s*(-i|--index-url|--extra-index-url|--find-links|-f)\b|https?://", text, re.MULTILINE)
        (tmp_path / name).write_text(text, encoding="utf-8")
        words += ["-r", str(tmp_path / name)]
    done = subprocess.run(
        [*words, "--ignore-installed", "--find-links", str(tmp_path)], capture_output=True, text=True, check=False
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
