"""Gate S01 with its real clean process: what only this process can load is never served."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.world import World, trips

pytestmark = pytest.mark.usefixtures("server", "clean_process")

MODULE = '''
from sklearn.linear_model import Ridge


class Here(Ridge):
    """An estimator whose module is on this process's path only."""
'''


def test_a_model_that_a_clean_process_loads_is_promoted(world: World) -> None:
    world.pipeline("loads")
    world.land("loads", "a.csv", trips(0, 150, seed=1))
    report = world.run("loads")
    assert report.outcome == "promoted"
    (gate,) = [gate for gate in report.gates if gate.code == "S01"]
    assert gate.outcome == "pass"


def test_a_model_that_only_this_process_can_load_is_rejected(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / "only_here.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    world.pipeline("strays", {"training": {"estimator": "only_here.Here", "trusted_types": ["only_here.Here"]}})
    world.land("strays", "a.csv", trips(0, 150, seed=1))
    report = world.run("strays")
    assert (report.outcome, report.champion) == ("kept_champion", None)
    (gate,) = [gate for gate in report.gates if gate.code == "S01"]
    assert gate.outcome == "fail"
    assert "only_here" in gate.reason
