"""Bike sharing: months land one at a time, and no value of hour.csv changes on the way."""

from pathlib import Path

import pandas as pd
import pytest

from examples.bike.land import HOUR_COLUMNS, land, main
from tests.support.world import ROOT

# Kept out of the repository: the data set has its own terms.
REAL = ROOT.parent / "shared" / "data" / "bike_sharing" / "hour.csv"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="no UCI hour.csv beside the repository (shared/data)")

HOURS = (("2011-01-31", "22"), ("2011-01-31", "23"), ("2011-02-01", "0"), ("2011-02-01", "7"), ("2012-03-09", "5"))


def as_text(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def tiny_table() -> pd.DataFrame:
    """Return five hours of three months, with spellings that a numeric round trip would lose."""
    table = pd.DataFrame({name: [f"0.{row}0" for row in range(len(HOURS))] for name in HOUR_COLUMNS})
    return table.assign(
        instant=[str(row) for row in range(1, len(HOURS) + 1)],
        dteday=[day for day, _ in HOURS],
        hr=[hour for _, hour in HOURS],
    )


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "source" / "hour.csv"
    path.parent.mkdir()
    tiny_table().to_csv(path, index=False)
    return path


def test_each_month_has_a_file_and_nothing_is_lost(tiny: Path, tmp_path: Path) -> None:
    paths = land(tiny, tmp_path / "landing")
    assert [path.name for path in paths] == ["bike-2011-01.csv", "bike-2011-02.csv", "bike-2012-03.csv"]
    assert sorted((tmp_path / "landing").iterdir()) == paths
    joined = pd.concat([as_text(path) for path in paths], ignore_index=True)
    assert joined.columns.tolist() == ["started_at", *HOUR_COLUMNS]
    assert joined["started_at"].tolist() == [
        "2011-01-31T22:00:00",
        "2011-01-31T23:00:00",
        "2011-02-01T00:00:00",
        "2011-02-01T07:00:00",
        "2012-03-09T05:00:00",
    ]
    pd.testing.assert_frame_equal(joined.drop(columns="started_at"), as_text(tiny))


def test_months_land_one_at_a_time(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "landing"
    for months, expected in (("1", 1), ("2-2", 2), ("2-3", 3)):
        assert main([str(tiny), str(folder), "--months", months]) == 0
        assert len(list(folder.iterdir())) == expected
    whole = land(tiny, tmp_path / "whole")
    assert [path.read_bytes() for path in whole] == [(folder / path.name).read_bytes() for path in whole]
    assert "bike-2012-03.csv" in capsys.readouterr().out


@pytest.mark.parametrize("months", ["0-3", "3-1", "all", "1-2-3", "-1", ""])
def test_a_wrong_range_of_months_is_refused(
    months: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(tiny), str(tmp_path / "landing"), f"--months={months}"])
    assert "is no range of months" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        (b"", "is no readable CSV"),
        (b"\x80\x00\xff\x00", "is no readable CSV"),
        (b"a,b\n1,2,3\n1,2,3,4\n", "is no readable CSV"),
        (b"dteday,hr,extra\n2011-01-01,0,1\n", "unexpected columns ['extra']"),
        (b"dteday,hr\n2011-01-01,0\n", "missing columns ['instant', 'season'"),
        (",".join(HOUR_COLUMNS).encode() + b"\n", "has a header and no rows"),
        (tiny_table().assign(hr="24").to_csv(index=False).encode(), "data row 1: dteday and hr make no date"),
        (tiny_table().assign(dteday="31.1.2011").to_csv(index=False).encode(), "make no date and hour: '31.1.2011"),
    ],
)
def test_an_unusable_source_is_one_line_and_status_2(
    content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "hour.csv"
    if content is not None:
        source.write_bytes(content)
    assert main([str(source), str(tmp_path / "landing")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "landing").exists()


def test_more_months_than_held_is_one_line_and_status_2(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tiny), str(tmp_path / "landing"), "--months", "1-24"]) == 2
    assert "months 1-24 asked for" in capsys.readouterr().err
    assert not (tmp_path / "landing").exists()


def test_a_folder_that_cannot_be_written_is_status_2(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tiny), str(tiny)]) == 2
    assert "cannot write to" in capsys.readouterr().err


@needs_real
def test_the_real_table_lands_in_24_months_and_nothing_is_lost(tmp_path: Path) -> None:
    paths = land(REAL, tmp_path)
    assert [path.name for path in paths] == [f"bike-{y}-{m:02d}.csv" for y in (2011, 2012) for m in range(1, 13)]
    joined = pd.concat([as_text(path) for path in paths], ignore_index=True)
    pd.testing.assert_frame_equal(joined.drop(columns="started_at"), as_text(REAL))
    assert joined["started_at"].is_unique
    assert joined["started_at"].is_monotonic_increasing


@needs_real
def test_a_single_real_month_is_that_of_the_whole(tmp_path: Path) -> None:
    (march,) = land(REAL, tmp_path, (3, 3))
    table = as_text(march)
    assert march.name == "bike-2011-03.csv"
    assert set(table["mnth"]) == {"3"}
    assert set(table["yr"]) == {"0"}
