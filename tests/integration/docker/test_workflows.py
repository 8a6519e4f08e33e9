"""GitHub's workflows and the recipes of docs/ci.md: commands that there are, actions that stay, least rights."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.docker import commands
from tests.support.docker.files import steps, workflow
from tests.support.world import ROOT

NAMES = sorted(path.name for path in (ROOT / ".github" / "workflows").glob("*.yml"))


def lines(run: str) -> Iterator[list[str]]:
    """The commands of a step, as words, with expressions of the workflow filled in by a name."""
    for line in run.replace("\\\n", " ").splitlines():
        words = shlex.split(line.split(">>")[0], comments=True)
        if words:
            yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


@pytest.mark.parametrize("name", NAMES)
def test_commands_are_there(name: str) -> None:
    document = workflow(name)
    matrix = [
        value
        for job in document["jobs"].values()
        for values in job.get("strategy", {}).get("matrix", {}).values()
        for value in values
    ]
    runs = [step["run"] for step in steps(document) if "run" in step]
    assert runs
    for run in runs:
        filled = [re.sub(r"\${{ matrix\.\w+ }}", value, run) for value in matrix] if "matrix." in run else [run]
        for one in filled:
            for words in lines(one):
                commands.check(words)


@pytest.mark.parametrize("name", NAMES)
def test_actions_are_pinned_and_rights_are_least(name: str) -> None:
    document = workflow(name)
    assert document["permissions"] == {"contents": "read"}
    text = (ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8")
    for used in re.findall(r"uses: (.+)", text):
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used
    for step in steps(document):
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False
        # What a person types must not become part of a script.
        assert not re.search(r"\${{ *(inputs|github\.event|github\.head_ref)", step.get("run", "")), step
    assert "pull_request_target" not in text


def test_ci_asks_what_a_developer_asks() -> None:
    matrix = workflow("ci.yml")["jobs"]["check"]["strategy"]["matrix"]["targets"]
    local = re.search(r"^make (.+)$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert local
    assert {word for one in matrix for word in one.split()} >= {"lint", "types", "test", "demo"}
    assert {word for one in matrix for word in one.split()} == set(local[1].split())


def test_recipes_name_commands_that_are_there() -> None:
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    start = r"(?:\.venv/bin/(?:perennial|prefect)|\bmake) "
    found = [match[0] for match in re.finditer(rf"{start}(?:\"[^\"]*\"|[^\n\"`'|>\]])+", text)]
    assert len(found) >= 8
    for one in found:
        words = [word for word in shlex.split(one) if not word.startswith("$")]
        commands.check([words[0].removeprefix(".venv/bin/"), *words[1:]])


# ------------------------------------------------------------------------------------------------ exit codes, tried
ENDS = {
    "Kept champion": ("COMPLETED", 0, "Flow run finished successfully in 'Kept champion'."),
    "Data rejected": ("COMPLETED", 0, "Flow run finished successfully in 'Data rejected'."),
    "Failed": ("FAILED", 1, "Flow run finished in state 'Failed'."),
    "Crashed": ("CRASHED", 1, "Flow run finished in state 'Crashed'."),
}


@pytest.fixture(scope="module")
def deployment(server: str) -> str:
    """A deployment that no worker takes runs of."""
    from prefect import flow, get_client

    @flow(name="watched")
    def watched() -> None: ...

    async def make() -> None:
        async with get_client() as client:
            flow_id = await client.create_flow(watched)
            await client.create_deployment(flow_id, "one")

    asyncio.run(make())
    return "watched/one"


def test_watching_tells_a_completed_run_from_others(deployment: str, server: str, tmp_path: Path) -> None:
    """As docs/ci.md says it; the states are those that flows end in, set by hand."""
    code = "import sys; sys.argv[0] = 'prefect'; from prefect.cli import app; app()"
    words = [sys.executable, "-c", code, "deployment", "run", deployment, "--watch", "--watch-timeout", "120"]
    watching = {}
    for name in ENDS:
        with (tmp_path / name).open("wb") as out:
            watching[name] = subprocess.Popen([*words, "--tag", name], stdout=out, stderr=out)
    try:
        asyncio.run(finish({name: tmp_path / name for name in ENDS}))
        for name, (_, exit_code, said) in ENDS.items():
            found = watching[name].wait(timeout=60)
            text = (tmp_path / name).read_text(encoding="utf-8")
            assert (found, said in text) == (exit_code, True), f"{name}: {text}"
    finally:
        for process in watching.values():
            process.kill()


async def finish(told: Mapping[str, Path]) -> None:
    """Begin each run, known by its tag, again and again until its watcher tells of it, then end it."""
    from prefect import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
    from prefect.client.schemas.objects import State, StateType

    left = dict(told)
    async with asyncio.timeout(120), get_client() as client:
        while left:
            for name, text in list(left.items()):
                for run in await client.read_flow_runs(
                    flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[name]))
                ):
                    seen = "Running" in text.read_text(encoding="utf-8")
                    state = State(type=StateType(ENDS[name][0]), name=name) if seen else State(type=StateType.RUNNING)
                    await client.set_flow_run_state(run.id, state, force=True)
                    if seen:
                        del left[name]
            await asyncio.sleep(0.5)
