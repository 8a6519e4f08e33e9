"""The gates of every pipeline: each subclass of `Gate` in a module of this package."""

from __future__ import annotations

import inspect
import pkgutil
from functools import cache
from importlib import import_module

from configs.schema import PipelineConfig
from tasks.evaluation import gates as package
from tasks.evaluation.gates.base import Gate, GateInputs
from tasks.records.decision import GateResult


@cache
def gates() -> tuple[Gate, ...]:
    """All gates, in the order of their codes.

    Raises:
        TypeError: two have the same code.
    """
    found: dict[str, Gate] = {}
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for _, kind in inspect.getmembers(import_module(module.name), inspect.isclass):
            if issubclass(kind, Gate) and not inspect.isabstract(kind) and kind.__module__ == module.name:
                if kind.code in found:
                    raise TypeError(f"gate {kind.code}: {kind.__qualname__} and {type(found[kind.code]).__qualname__}")
                found[kind.code] = kind()
    return tuple(found[code] for code in sorted(found))


def evaluate_gates(config: PipelineConfig, inputs: GateInputs) -> tuple[GateResult, ...]:
    """Evaluate all gates, in the order of their codes."""
    return tuple(gate.result(config, inputs) for gate in gates())
