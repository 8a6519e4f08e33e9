"""The real bike rentals through the shipped pipeline: champions, no row twice, better than the obvious guess."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.world import ROOT, World

HOURS = ROOT.parent / "shared" / "data" / "bike_sharing" / "hour.csv"
NAME = "bike_demand"
MONTHS = ((1, 3), (4, 6), (7, 12), (13, 18), (19, 24))

pytestmark = pytest.mark.skipif(
    not HOURS.is_file(), reason="the UCI bike sharing hour.csv is not beside the checkout (shared/data/bike_sharing)"
)


@pytest.fixture(scope="module")
def ridden(module_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two years that landed some months at a time, a run after each."""
    from examples.bike.land import land

    (module_world.configs / f"{NAME}.yaml").write_bytes((ROOT / "configs" / f"{NAME}.yaml").read_bytes())
    outcomes = []
    for months in MONTHS:
        land(HOURS, module_world.landing(NAME), months)
        outcomes.append(module_world.run(NAME).outcome)
    assert outcomes[0] == "promoted"
    assert set(outcomes) <= {"promoted", "kept_champion"}
    return module_world


def test_every_hour_is_in_the_lake_once(ridden: World) -> None:
    ids = ridden.row_ids(NAME)
    assert len(ids) == len(set(ids)) == 17_379
    assert {batch.verdict for batch in ridden.ledger(NAME).values()} == {"accepted"}


def test_nothing_new_is_nothing_to_do(ridden: World) -> None:
    from tasks.lifecycle.due import is_idle

    assert is_idle(ridden.config(NAME), ridden.settings)
    assert ridden.run(NAME).outcome == "nothing_to_do"
    assert len(ridden.row_ids(NAME)) == 17_379


def test_the_champion_never_sees_what_leaks_the_target(ridden: World) -> None:
    from tasks.stores.registry.tracking import Tracking

    champion = Tracking(ridden.settings, NAME).champion()
    assert champion is not None
    assert not {"casual", "registered", "cnt"} & set(champion.feature_columns)


def test_the_champion_beats_the_mean_of_the_same_hour_and_weekday(ridden: World) -> None:
    from tasks.features.frame import feature_frame
    from tasks.stores.lake.tables import Lake
    from tasks.stores.registry import models
    from tasks.stores.registry.tracking import Tracking

    config = ridden.config(NAME)
    champion = Tracking(ridden.settings, NAME).champion()
    assert champion is not None
    table = Lake(ridden.settings, config).read("observations")
    rows = table.to_pandas()
    known = rows["_seq"] <= champion.through_seq
    held = (rows["started_at"].astype("datetime64[us, UTC]").astype("int64") >= champion.split.boundary_us) & known
    usual = rows[known & ~held].groupby(["hr", "weekday"])["cnt"].mean().rename("usual")
    guessed = rows[held].join(usual, on=["hr", "weekday"])["usual"]
    model = models.load(Path(champion.folder) / models.MODEL_FILE)
    predicted = model.predict(feature_frame(table, champion.feature_columns, config.contract.columns)[held.to_numpy()])
    truth = rows.loc[held, "cnt"]
    assert len(truth) > 500
    assert np.abs(predicted - truth).mean() < 0.8 * np.abs(guessed - truth).mean()
