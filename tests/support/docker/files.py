"""The shipped files of docker/ and .github/, read as Docker and GitHub would."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from tests.support.world import ROOT

DOCKER = ROOT / "docker"
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z0-9_]+)(?P<how>:-|:\?)?(?P<rest>[^}]*)\}")


def compose(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """compose.yaml, with ${…} replaced where variables are given: a required one that is missing is a KeyError."""
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    if variables is not None:
        text = _VARIABLE.sub(lambda found: _value(found, variables), text)
    document = yaml.safe_load(text)
    assert isinstance(document, dict)
    return document


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found["how"] == ":-":
        return variables.get(found["name"]) or found["rest"]
    return variables[found["name"]]


def required_variables() -> set[str]:
    """Variables of compose.yaml that have no default."""
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    return {found["name"] for found in _VARIABLE.finditer(text) if found["how"] != ":-"}


def optional_variables() -> set[str]:
    """Variables of compose.yaml that have a default."""
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    return {found["name"] for found in _VARIABLE.finditer(text) if found["how"] == ":-"}


def ours(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The services that run our own image."""
    return {name: one for name, one in document["services"].items() if "build" in one}


def scrapes() -> list[dict[str, Any]]:
    """What Prometheus asks."""
    document = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    return list(document["scrape_configs"])


def dockerfile() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined."""
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def copied() -> list[str]:
    """Paths that the Dockerfile copies from the repository."""
    found = []
    for instruction, rest in dockerfile():
        if instruction == "COPY" and not rest.startswith("--from"):
            found += shlex.split(rest)[:-1]
    return found


def workflow(name: str) -> dict[str, Any]:
    """One of GitHub's workflows. YAML takes its `on` for true."""
    document = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    document["on"] = document.pop(True)
    return document


def steps(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All steps of a workflow."""
    return [step for job in document["jobs"].values() for step in job["steps"]]
