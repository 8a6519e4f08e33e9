"""The configurations between two versions: the older one with one change at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from pydantic import ValidationError

from configs.check import problems
from configs.schema import PipelineConfig
from perennial.reporting.changes.describe import field_line
from perennial.reporting.changes.difference import field_changes
from tasks.records.provenance import flat

_SINGLE = ("split", "seed")


class ConfigChange(NamedTuple):
    """One change: fields of the configuration that go together; none: the data.

    Attributes:
        name: Short, for a table.
        description: The difference, in words.
        paths: Fields of the configuration, by section and name.
    """

    name: str
    description: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]


def config_changes(before: PipelineConfig, now: PipelineConfig) -> list[ConfigChange]:
    """The changes of the configuration that decide what a model is, each that can be tried alone."""
    was, is_now = _document(before), _document(now)
    found = [_config_change((section,), was, is_now) for section in _SINGLE]
    found += [_config_change(("features", name), was, is_now) for name in _names(was, is_now, "features")]
    found += list(_training(was, is_now))
    if not _reads_alike(before, now):
        found.append(_config_change(("contract",), was, is_now))
    return [one for one in found if one.description]


def _training(was: dict[str, Any], is_now: dict[str, Any]) -> Iterator[ConfigChange]:
    """The estimator with all its parameters where it is another; else each parameter by itself."""
    if was["training"]["estimator"] != is_now["training"]["estimator"]:
        whole = _config_change(("training",), was, is_now)
        yield whole._replace(name="training.estimator and its parameters")
        return
    for name in _names(was["training"], is_now["training"], "parameters"):
        yield _config_change(("training", "parameters", name), was, is_now)
    for name in _names(was, is_now, "training"):
        if name not in ("estimator", "parameters", "trusted_types", "threads"):
            yield _config_change(("training", name), was, is_now)


def _names(was: Mapping[str, Any], is_now: Mapping[str, Any], section: str) -> list[str]:
    return sorted({*was[section], *is_now[section]})


def _config_change(path: tuple[str, ...], was: dict[str, Any], is_now: dict[str, Any]) -> ConfigChange:
    name = ".".join(path)
    before, now = (flat(_get(one, path), name) for one in (was, is_now))
    return ConfigChange(name, tuple(field_line(one) for one in field_changes(before, now)), (path,))


def _reads_alike(before: PipelineConfig, now: PipelineConfig) -> bool:
    """Whether the newer contract gives the older configuration the same frames: then it is no change by itself."""
    names = {*before.training_columns, before.contract.target}
    was, is_now = before.contract, now.contract
    same = (was.event_time, was.target) == (is_now.event_time, is_now.target)
    kinds = [
        (contract.columns[name].type, contract.columns[name].nullable) if name in contract.columns else None
        for name in sorted(names)
        for contract in (was, is_now)
    ]
    return same and kinds[::2] == kinds[1::2]


def combined(found: list[ConfigChange]) -> ConfigChange:
    """Several changes as one."""
    return ConfigChange(
        name=" with ".join(one.name for one in found),
        description=tuple(line for one in found for line in one.description),
        paths=tuple(path for one in found for path in one.paths),
    )


def base_config(before: PipelineConfig, now: PipelineConfig) -> PipelineConfig:
    """The older configuration, evaluated by the newer one's rules, with its contract where that reads the same."""
    document = _document(before)
    document["evaluation"] = _document(now)["evaluation"]
    if _reads_alike(before, now):
        document["contract"] = _document(now)["contract"]
    return _config(document)


def apply_change(base: PipelineConfig, now: PipelineConfig, step: ConfigChange) -> PipelineConfig:
    """A configuration with one change taken from another.

    Raises:
        ValueError: it is not valid so; the message says why.
    """
    document, target = _document(base), _document(now)
    for path in step.paths:
        _put(document, path, _get(target, path))
    try:
        config = _config(document)
    except ValidationError as error:
        raise ValueError(error.errors(include_url=False)[0]["msg"]) from None
    for place, found, allowed in problems(config):
        raise ValueError(f"{'.'.join(str(part) for part in place)}: found {found}, allowed: {allowed}")
    return config


def _document(config: PipelineConfig) -> dict[str, Any]:
    return config.model_dump(mode="json")


def _config(document: dict[str, Any]) -> PipelineConfig:
    # By way of JSON: the contract's columns within are strict, and take a list for a tuple only there.
    return PipelineConfig.model_validate_json(json.dumps(document))


def _get(document: dict[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = document
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return deepcopy(found)


def _put(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *parents, last = path
    for name in parents:
        document = document[name]
    if value is None and last in document and parents[-1:] == ["parameters"]:
        del document[last]  # a parameter that the other leaves out has its default there
    else:
        document[last] = value
