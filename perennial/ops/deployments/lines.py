"""A YAML file with the line of each part: through anchors and merged keys, to where a value is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Where = tuple[str | int, ...]
Problem = tuple[int, str]


def parse(path: Path) -> tuple[yaml.Node | None, Any, list[Problem]]:
    """A file's nodes, its values, and what is wrong with it as YAML: lines, from 1, and what was found there."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, yaml.SafeLoader)
        data = yaml.safe_load(text)
    except OSError as error:
        return None, None, [(1, f"can't be read: {error.strerror or error}")]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return None, None, [(mark.line + 1 if mark else 1, f"not YAML: {error.problem}")]
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        return None, None, [(1, f"not YAML: {str(error).splitlines()[0]}")]
    return node, data, sorted(set(_repeats(node, set()))) if node is not None else []


def line_of(node: yaml.Node, where: Where) -> int:
    """The line, from 1, of the deepest part of a path that the file has."""
    line = node.start_mark.line
    for step in where:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line
        elif isinstance(node, yaml.MappingNode):
            pair = _pair(node, str(step))
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
        else:
            break
    return line + 1


def dotted(where: Where) -> str:
    """A path in words."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where).lstrip(".") or "the file"


def _pair(node: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """A key and its value, a merged one (`<<`) if the mapping has none of its own."""
    for name, value in node.value:
        if name.value == key:
            return name, value
    for name, value in node.value:
        if name.value == "<<":
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                found = _pair(merged, key)
                if found is not None:
                    return found
    return None


def _repeats(node: yaml.Node, seen: set[int]) -> Iterator[Problem]:
    """Keys that a mapping has twice: YAML's readers keep the last and say nothing."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        first: dict[Any, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.value in first:
                yield line, f"{key.value}: stands twice, first in line {first[key.value]}"
            if isinstance(key, yaml.ScalarNode):
                first[key.value] = line
            yield from _repeats(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from _repeats(one, seen)
