"""prefect.yaml: every mistake with its line before anything is deployed, and the lines of a further pipeline."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

import yaml

from configs.load import names
from perennial.ops.deployments.fields import no_pipeline
from perennial.ops.deployments.lifecycle_lines import lines
from perennial.ops.deployments.lines import dotted, line_of, parse
from perennial.ops.deployments.rules import mistakes as content_mistakes
from tasks.errors import UsageError
from tasks.stores.environment import ROOT

FILE = ROOT / "prefect.yaml"
_OPTION = "--prefect-file"


class MistakeError(UsageError):
    """A deployment file that must not be deployed."""


def refuse_mistakes() -> dict[str, str]:
    """The build step of every deployment in prefect.yaml: nothing is deployed from a file with a mistake.

    Raises:
        SystemExit: each mistake with its line. Prefect would show any other error as a traceback.
    """
    file = _deployed_file(sys.argv)
    found = _mistakes(file, file.stat().st_mtime_ns)
    if found:
        raise SystemExit("\n".join([*found, "Nothing was deployed."]))  # on standard error, exit code 1
    return {"checked": file.name}


def _deployed_file(words: list[str]) -> Path:
    """The file that `prefect deploy` was reported: Prefect does not tell its steps."""
    message = "prefect.yaml"
    for index, word in enumerate(words):
        if word == _OPTION and index + 1 < len(words):
            message = words[index + 1]
        elif word.startswith(f"{_OPTION}="):
            message = word.partition("=")[2]
    return Path(message).absolute()


@cache
def _mistakes(path: Path, _changed: int) -> tuple[str, ...]:
    """The mistakes, looked for once and not for each deployment again."""
    return tuple(mistakes(path))


def mistakes(path: Path = FILE) -> list[str]:
    """What is wrong with a deployment file, each with file and line; what an anchor says wrongly is reported once."""
    node, data, found = parse(path)
    if not found:
        if node is None or not isinstance(data, dict):
            return [f"{path}:1: found no mapping; expected `deployments:` and more"]
        first: dict[tuple[int, str], str] = {}
        for where, message in content_mistakes(data):
            first.setdefault((line_of(node, where), message), dotted(where))
        found = [(line, f"{where}: {message}") for (line, message), where in first.items()]
    return [f"{path}:{line}: {message}" for line, message in found]


def add(name: str, path: Path = FILE) -> bool:
    """Write a pipeline's deployment at the end of a deployment file, in one move; whether it was missing.

    Raises:
        UsageError: no such pipeline, or the file has a mistake, as it is or with these lines at its end.
    """
    if name not in names():
        message = no_pipeline(name)
        raise UsageError(f"{message[:1].upper()}{message[1:]}.")
    found = mistakes(path)
    if found:
        raise MistakeError("\n".join(found))
    text = path.read_text(encoding="utf-8")
    if any((one.get("parameters") or {}).get("pipeline") == name for one in yaml.safe_load(text)["deployments"]):
        return False
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(f"{text.rstrip()}\n{lines(name)}", encoding="utf-8")
    found = [one.replace(str(draft), str(path)) for one in mistakes(draft)]
    if found:
        draft.unlink()
        raise MistakeError("\n".join([f"The lines of {name} do not go with the rest of the file:", *found]))
    draft.chmod(path.stat().st_mode)
    draft.replace(path)
    return True
