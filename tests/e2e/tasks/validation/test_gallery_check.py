"""A mistake in an expectation is reported with its line before any file lands, and fast from the second time on."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flows.context import open_pipeline
from tasks.errors import UsageError
from tests.support.world import ROOT, World

MEAN = "expect_column_mean_to_be_between"


def expectation(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": name, "arguments": arguments}


WRONG = [
    (
        expectation("expect_column_mean_to_be_betwen", column="x1"),
        r"\[0\]\.type: found 'expect_column_mean_to_be_betwen'; .*did you mean 'expect_column_mean_to_be_between'\?",
    ),
    (
        expectation(MEAN, column="x1", min_valu=1),
        r"\[0\]\.arguments\.min_valu: found an unknown argument; allowed: .*: column, .*; did you mean 'min_value'",
    ),
    (
        expectation("expect_column_values_to_be_in_set", column="kind", value_set="bus"),
        r"\[0\]\.arguments: found arguments that .* rejects: value_set; value is not a valid list; allowed: the arg",
    ),
    (expectation(MEAN, min_value=1), r"\[0\]\.arguments: found .* rejects: column; field required"),
    (expectation(MEAN, column="kind"), r"\[0\]: found expect_column_mean_to_be_between of kind can't be checked: "),
    (
        expectation("expect_column_values_to_match_regex", column="kind", regex="("),
        r"\[0\]: found expect_column_values_to_match_regex of kind can't be checked: Invalid regular expression",
    ),
    (
        expectation("expect_column_values_to_match_like_pattern", column="kind", like_pattern="b%"),
        r"\[0\]: found .* can't be checked: No provider found .* docs/expectations\.md",
    ),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG, ids=lambda one: one["type"][7:] if isinstance(one, dict) else "")
def test_a_mistake_is_told_with_its_line(world: World, wrong: dict[str, Any], told: str) -> None:
    world.pipeline("mine", {"expectations": [wrong]})
    with pytest.raises(UsageError) as caught:
        open_pipeline("mine")
    text = (world.configs / "mine.yaml").read_text(encoding="utf-8")
    where = re.match(r".*mine\.yaml:(\d+): expectations", str(caught.value))
    assert where, caught.value
    begins = next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith("- type:"))
    assert int(where[1]) in range(begins, begins + 8)
    assert re.search(told, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)


def test_every_mistake_is_told_at_once(world: World) -> None:
    fine = expectation(MEAN, column="x1", min_value=-100)
    world.pipeline("mine", {"expectations": [WRONG[0][0], fine, WRONG[4][0]]})
    with pytest.raises(UsageError) as caught:
        open_pipeline("mine")
    first, second = str(caught.value).splitlines()
    assert "expectations[0].type" in first
    assert "expectations[2]" in second


def test_the_answer_is_kept_until_something_changes(world: World) -> None:
    world.pipeline("mine", {"expectations": [expectation(MEAN, column="x1")]})
    checked = world.home / "state" / "checked"
    open_pipeline("mine")
    (first,) = checked.iterdir()
    assert first.read_text(encoding="utf-8") == "[]"
    world.pipeline("mine", {"expectations": [expectation(MEAN, column="x1")], "seed": 9})
    open_pipeline("mine")
    assert list(checked.iterdir()) == [first]
    # the same words, of a column that is text now
    world.pipeline(
        "mine", {"expectations": [expectation(MEAN, column="x2")], "contract": {"columns": {"x2": TEXT}}, **ONE}
    )
    with pytest.raises(UsageError, match="of x2 can't be checked"):
        open_pipeline("mine")
    assert len(list(checked.iterdir())) == 2


TEXT = {"type": "string"}
ONE = {"features": {"numeric": ["x1"], "categorical": ["kind"]}}


def test_without_expectations_nothing_is_asked(world: World) -> None:
    world.pipeline("mine")
    open_pipeline("mine")
    assert not (world.home / "state" / "checked").exists()


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_from_the_second_time_on_great_expectations_is_not_imported(world: World, right: bool) -> None:
    world.pipeline("mine", {"expectations": [expectation(MEAN, column="x1") if right else WRONG[0][0]]})
    try:
        open_pipeline("mine")
    except UsageError:
        assert not right
    script = (
        "import sys\n"
        "from flows.context import open_pipeline\n"
        "from tasks.errors import UsageError\n"
        "try:\n    open_pipeline('mine')\n    print('right')\n"
        "except UsageError:\n    print('wrong')\n"
        "print([name for name in sys.modules if name.startswith('great_expectations')])\n"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["right" if right else "wrong", "[]"]
    assert time.monotonic() - began < 10


def test_shipped_pipelines_have_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from configs.load import names

    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.delenv("PERENNIAL_CONFIGS", raising=False)
    for name in names():
        open_pipeline(name)
    assert list((tmp_path / "state" / "checked").iterdir())
