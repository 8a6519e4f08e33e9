"""Seven months of green taxis as published, five schemas, through one YAML."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from configs import load
from examples import green
from tasks.records.data import BatchRecord
from tasks.validation.keys import Ids
from tasks.validation.verdicts import decide_verdicts
from tests.support.validation.batches import NOW, Home
from tests.support.world import ROOT

DATA = ROOT.parent / "shared" / "data" / "nyc_green"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the taxis' published files are not in {DATA}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("green"), load.read(Path(green.__path__[0]) / "green_fares.yaml"))


@pytest.fixture(scope="module")
def months(home: Home) -> dict[str, BatchRecord]:
    files = sorted(DATA.glob("*.parquet"))
    return {file.stem[-7:]: home.land(file.name, file.read_bytes()) for file in files}


def test_six_months_come_in_without_their_bad_rows(home: Home, months: dict[str, BatchRecord]) -> None:
    accepted = {month: one for month, one in months.items() if one.verdict == "accepted"}
    assert sorted(accepted) == ["2020-04", "2020-05", "2021-01", "2023-01", "2023-02", "2023-03"]
    for one in accepted.values():
        assert one.rows == one.accepted + one.quarantined
        assert 0 < one.quarantined < one.rows / 100
    refused = home.lake.read("quarantine", where=pc.field("kind") == "row")
    assert refused.num_rows == sum(one.quarantined for one in accepted.values())
    assert min(len(reason) for reason in refused.column("reason").to_pylist()) > 10


def test_the_month_of_five_columns_is_refused_with_the_reason(home: Home, months: dict[str, BatchRecord]) -> None:
    one = months["2022-01"]
    assert (one.verdict, one.accepted) == ("rejected", 0)
    assert one.reasons[0].startswith("columns missing: vendor, passengers, rate, fare_usd; found: lpep_pickup_datetime")
    (entry,) = home.lake.read("quarantine", where=pc.field("kind") == "file").to_pylist()
    assert (entry["path"], entry["reason"]) == ("green_tripdata_2022-01.parquet", one.reasons[0])


def test_no_stray_date_comes_in(home: Home, months: dict[str, BatchRecord]) -> None:
    rows = home.lake.read("observations", ["pickup_at", "dropoff_at"])
    assert rows.num_rows == sum(one.accepted for one in months.values())
    for name in rows.column_names:
        assert set(pc.year(rows.column(name)).unique().to_pylist()) <= {2020, 2021, 2022, 2023}
    strays = home.lake.read("quarantine", ["expectation", "content"]).to_pylist()
    assert any("(pickup_at)" in one["expectation"] and '"pickup_at":"2009' in one["content"] for one in strays)


def test_a_date_far_ahead_goes_to_quarantine(home: Home, months: dict[str, BatchRecord]) -> None:
    times = [datetime(year, 3, 1, 8, tzinfo=UTC) for year in (2041, *[2023] * 11)]
    columns = {"lpep_pickup_datetime": times, "lpep_dropoff_datetime": times, "VendorID": [2] * 12}
    table = pa.table(
        {**columns, "PULocationID": [7] * 12, "DOLocationID": [9] * 12, "trip_distance": [1.0] * 12}
        | {"passenger_count": [1] * 12, "RatecodeID": [1] * 12, "fare_amount": [8.0] * 12}
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    batch = home.staged("green_tripdata_2023-04.parquet", sink.getvalue().to_pybytes())
    assert any(note.startswith("warning:") and "trip_type" in note for note in batch.notes)
    clocks = {batch.file.sha256: NOW}
    judged = decide_verdicts(home.config, [batch], nothing, None, clocks, NOW, home.config.expectations, {})
    assert (judged[0].accepted, judged[0].quarantined) == (11, 1), judged[0].reasons


def nothing(ids: Ids, columns: Sequence[str]) -> pa.Table:
    raise AssertionError("the contract has no key to look up")


def test_texts_and_times_of_a_zone_mean_the_same_hours(home: Home, months: dict[str, BatchRecord]) -> None:
    first = home.lake.read("observations", ["_batch", "pickup_at"], where=pc.field("_row") == 1).to_pylist()
    found = {one["_batch"]: one["pickup_at"].isoformat() for one in first}
    assert found[months["2020-04"].batch] == "2020-04-01T04:44:02+00:00"  # the text 2020-04-01 00:44:02, in summer
    assert found[months["2021-01"].batch] == "2021-01-01T05:15:56+00:00"  # a timestamp without a zone, in winter
