"""The shipped pipelines: a scored file, and the service, have what the loaded model answers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tasks.scoring import predict
from tests.support.asked import asked
from tests.support.command import Cli
from tests.support.serving.running import serving
from tests.support.world import ROOT, World, write

HOURS = ROOT.parent / "shared" / "data" / "bike_sharing" / "hour.csv"


def transit(world: World) -> pd.DataFrame:
    from examples.transit.simulate import Scenario, land_arrivals, land_delays

    scenario, folder = Scenario(seed=7, trips_per_day=120), world.landing("transit_delay")
    land_arrivals(scenario, date(2026, 1, 5), 21, folder / "arrivals")
    land_delays(scenario, date(2026, 1, 5), 21, folder / "delays")
    return pd.read_csv(land_arrivals(scenario, date(2026, 1, 26), 1, world.home / "next")[0])


def cancer(world: World) -> pd.DataFrame:
    from examples.breast_cancer.land import diagnoses, land

    land(world.landing("breast_cancer"))
    return diagnoses().drop(columns="diagnosis")


def bikes(world: World) -> pd.DataFrame:
    from examples.bike.land import land

    land(HOURS, world.landing("bike_demand"), (1, 6))
    return pd.read_csv(land(HOURS, world.home / "next", (7, 7))[0])


SHIPPED = [
    pytest.param("transit_delay", transit, datetime(2026, 1, 27, tzinfo=UTC), id="transit_delay"),
    pytest.param("breast_cancer", cancer, None, id="breast_cancer"),
    pytest.param(
        "bike_demand",
        bikes,
        None,
        id="bike_demand",
        marks=pytest.mark.skipif(not HOURS.is_file(), reason="the UCI hour.csv is not beside the checkout"),
    ),
]


def _service_answers_alike(
    world: World, name: str, source: Path, log: Path, predicted: npt.NDArray[np.generic]
) -> None:
    """An MLflow client as it comes, and curl, get what the loaded model answers, each digit."""
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    with serving(world.home, world.configs, log, name) as service:
        host, _, port = service.url.removeprefix("http://").partition(":")
        answers = ScoringServerClient(host, int(port)).invoke(pd.read_csv(source)).get_predictions()
        assert answers.iloc[:, 0].tolist() == predicted.tolist()
        address = f"{service.url}/pipelines/{name}/invocations"
        words = ["curl", "--silent", "-H", "Content-Type: text/csv", "--data-binary", f"@{source}", address]
        told = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        assert told["predictions"] == predicted.tolist()
        row = json.loads(pd.read_csv(source).iloc[:1].to_json(orient="records"))
        alone = service.ask(name, row).json()["predictions"]
        if isinstance(alone[0], float):
            np.testing.assert_allclose(alone, predicted[:1].astype(float), rtol=1e-12)
        else:
            assert alone == predicted[:1].tolist()


@pytest.mark.parametrize(("name", "land", "now"), SHIPPED)
def test_a_scored_file_holds_the_model_s_answers(
    module_world: World,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    land: Callable[[World], pd.DataFrame],
    now: datetime | None,
) -> None:
    from tests.support.direct import lifecycle

    (module_world.configs / f"{name}.yaml").write_bytes((ROOT / "configs" / f"{name}.yaml").read_bytes())
    rows = land(module_world)
    assert lifecycle(name, now).outcome == "promoted"
    source = write(tmp_path / "day.csv", rows)
    _, predicted, likely = asked(module_world, name, source)
    found = {}
    for piece in (predict.PIECE_ROWS, 7):
        monkeypatch.setattr(predict, "PIECE_ROWS", piece)
        output = tmp_path / f"by-{piece}.parquet"
        said = cli("score", name, "--input", str(source), "--output", str(output))
        assert said.code == 0, said
        found[piece] = pq.read_table(output).to_pandas()
        assert len(found[piece]) == len(rows)
    _service_answers_alike(module_world, name, source, tmp_path / "serving.log", predicted)
    whole, pieces = found.values()
    assert whole["prediction"].tolist() == predicted.tolist()
    if likely is None:  # trees answer each row by itself
        assert pieces["prediction"].tolist() == predicted.tolist()
        return
    columns = [column for column in whole if column.startswith("probability_")]
    assert np.array_equal(whole[columns].to_numpy(), likely)
    np.testing.assert_allclose(pieces[columns].to_numpy(), likely, rtol=1e-12)
    assert pieces["prediction"].tolist() == predicted.tolist()
