"""The only reader of pipeline YAMLs. Mistakes have file, line, path, what was found and what is allowed."""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from configs.check import problems
from configs.problem import Path as FieldPath
from configs.problem import Problem
from configs.schema import PipelineConfig

SHIPPED = Path(__file__).parent


class ConfigError(Exception):
    """A configuration that can't be used. The message names file, line, field, what was found and what is allowed."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without its surprises: dates stay text, only true and false are booleans, a key stands once."""


_PLAIN_BOOL = {"true": True, "false": False}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _boolean(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> bool | str:
    text = str(loader.construct_scalar(node))
    return _PLAIN_BOOL.get(text.lower(), text)


_Loader.add_constructor("tag:yaml.org,2002:bool", _boolean)
# YAML 1.1 takes 1e-3 for text; everyone means the number.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def folder() -> Path:
    """The folder of the pipelines' YAMLs: PERENNIAL_CONFIGS, or the one that ships."""
    return Path(os.environ.get("PERENNIAL_CONFIGS") or SHIPPED)


def names() -> list[str]:
    """The names of all pipelines that have a YAML, sorted."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def load(name: str) -> PipelineConfig:
    """The pipeline's configuration, by its name.

    Raises:
        ConfigError: no such pipeline, or a mistake in its YAML.
    """
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        listed = ", ".join(known) or "none"
        raise ConfigError(f"No pipeline is named {name!r}.{hint} Pipelines in {folder()}: {listed}.")
    config = read(folder() / f"{name}.yaml")
    if config.name != name:
        raise ConfigError(
            f"{folder() / f'{name}.yaml'}: name: found {config.name!r}, expected the file's own: {name!r}."
        )
    return config


def read(path: Path) -> PipelineConfig:
    """The configuration in one YAML file.

    Raises:
        ConfigError: the file can't be read, is not YAML, or breaks the schema or a rule that spans fields.
    """
    node, data = _parse(path)
    try:
        config = PipelineConfig.model_validate_json(json.dumps(data))
    except ValidationError as error:
        found = [_problem(details, data) for details in error.errors(include_url=False)]
        raise ConfigError(_message(path, node, found)) from None
    broken = list(problems(config))
    if broken:
        raise ConfigError(_message(path, node, broken))
    return config


def mistake(name: str, found: Sequence[Problem]) -> ConfigError:
    """The error that tells of mistakes in a pipeline's YAML which its schema does not see."""
    path = folder() / f"{name}.yaml"
    return ConfigError(_message(path, _parse(path)[0], list(found)))


def _parse(path: Path) -> tuple[yaml.Node | None, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read: {error}") from None
    try:
        return _compose(path, text)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: not YAML: {error.problem}") from None
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML that says plain values: {str(error).splitlines()[0]}") from None


def _compose(path: Path, text: str) -> tuple[yaml.Node | None, Any]:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        _refuse_repeats(path, node)
        data = loader.construct_document(node) if node is not None else None
    finally:
        loader.dispose()
    json.dumps(data)  # what JSON can't hold, no field can
    return node, data


def _refuse_repeats(path: Path, node: yaml.Node | None) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ConfigError(f"{path}:{line}: {key.value}: stands twice, first in line {seen[key.value]}.")
            seen[key.value] = line
            _refuse_repeats(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeats(path, item)


def _problem(details: ErrorDetails, data: Any) -> Problem:
    path = _real_path(details["loc"], data)
    kind = details["type"]
    if kind == "extra_forbidden":
        siblings = _fields_at(path[:-1])
        near = difflib.get_close_matches(str(path[-1]), siblings, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return Problem(path, "an unknown field", f"{hint}known here: {', '.join(siblings)}")
    if kind == "missing":
        return Problem(path, "nothing", "this field is required")
    found = details["input"]
    shown = "nothing" if found is None else f"{_shorten(found)} ({type(found).__name__})"
    allowed = details["msg"][0].lower() + details["msg"][1:]
    context = details.get("ctx", {})
    expected = str(context.get("expected") or context.get("expected_tags", ""))
    if "tag" in context:
        found = context["tag"]
    near = difflib.get_close_matches(
        str(found), [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
    )
    return Problem(path, shown, allowed + (f"; did you mean {near[0]!r}?" if near else ""))


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _real_path(location: tuple[int | str, ...], data: Any) -> FieldPath:
    """The error's location without the union tags that pydantic puts between: those are not in the data."""
    path: list[str | int] = []
    for index, step in enumerate(location):
        inside = (isinstance(data, Mapping) and step in data) or (
            isinstance(data, Sequence) and isinstance(step, int) and step < len(data)
        )
        if inside:
            data = data[step]
            path.append(step)
        elif index == len(location) - 1 and isinstance(data, Mapping) and step != "[key]":
            path.append(step)
    return tuple(path)


def _fields_at(path: FieldPath) -> list[str]:
    """Names of the fields that the schema knows at a path, over all alternatives."""
    schema = json_schema()
    here = [schema]
    for step in path:
        here = [inner for part in here for inner in _step(schema, part, step)]
    return sorted({name for part in here for one in _alternatives(schema, part) for name in one.get("properties", {})})


def _alternatives(schema: dict[str, Any], part: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in part:
        return _alternatives(schema, schema["$defs"][part["$ref"].rsplit("/", 1)[1]])
    nested = [*part.get("anyOf", []), *part.get("oneOf", []), *part.get("allOf", [])]
    return [part, *(one for inner in nested for one in _alternatives(schema, inner))]


def _step(schema: dict[str, Any], part: dict[str, Any], step: str | int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for one in _alternatives(schema, part):
        if isinstance(step, int) and "items" in one:
            found.append(one["items"])
        elif step in one.get("properties", {}):
            found.append(one["properties"][step])
        elif isinstance(one.get("additionalProperties"), dict):
            found.append(one["additionalProperties"])
        elif isinstance(one.get("patternProperties"), dict):
            found.extend(one["patternProperties"].values())
    return found


def _message(path: Path, node: yaml.Node | None, found: list[Problem]) -> str:
    lines = []
    for problem in found:
        dotted = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem.path).lstrip(".")
        where = f"{path}:{_line(node, problem.path)}: {dotted or 'the file'}"
        lines.append(f"{where}: found {problem.found}; allowed: {problem.allowed}.")
    return "\n".join(lines)


def _line(node: yaml.Node | None, path: FieldPath) -> int:
    """The line, counted from 1, of the deepest part of the path that the file has."""
    line = node.start_mark.line if node is not None else 0
    for step in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(step)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line
        else:
            break
    return line + 1


@cache
def json_schema() -> dict[str, Any]:
    """The JSON schema of a pipeline's YAML, for editors."""
    return PipelineConfig.model_json_schema()


if __name__ == "__main__":
    json.dump(json_schema(), sys.stdout, indent=2)
    sys.stdout.write("\n")
