"""Each stage that a run calls has a task or a flow of Prefect, and what a task is given can go to another machine."""

from __future__ import annotations

import ast
import pickle

import pytest

from tasks.context import StageContext, direct
from tests.support.direct import stage_context
from tests.support.world import ROOT, World


def called_stages() -> set[str]:
    """The first arguments of all calls `execute(STAGE, context, ...)` below tasks/."""
    found = set()
    for path in (ROOT / "tasks").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("execute", "self.execute") and node.args:
                found.add(ast.unparse(node.args[0]))
    return found


def test_each_stage_that_is_called_has_a_task_or_a_flow() -> None:
    from flows.execute import _runs

    runs = {stage.__name__ for stage in _runs()}
    assert called_stages() == runs


@pytest.fixture
def context(world: World) -> StageContext:
    world.pipeline("given")
    return stage_context("given", tables=False)


def test_a_context_is_data(context: StageContext) -> None:
    again = pickle.loads(pickle.dumps(context))  # noqa: S301  # our own bytes
    assert again == context


def test_direct_calls_the_function_itself(context: StageContext) -> None:
    def stage(given: StageContext, number: int, *, more: int = 0) -> tuple[str, int]:
        return given.pipeline, number + more

    assert direct(stage, context, 1, more=2) == ("given", 3)
