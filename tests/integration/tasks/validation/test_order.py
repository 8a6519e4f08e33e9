"""However rows come, in whatever files, order and number, they come to the same; and every row is accounted for."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.validation.batches import Home, pipeline

HEADER = "id,place,at,x\n"
LATEST = "{duplicate_key: keep_last}"
# Few keys, times and values, so that many rows meet; 150 and -1 break the contract, and what is no number, too.
row = st.tuples(
    st.integers(1, 4),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["2026-01-01", "2026-01-02", "2026-01-03"]),
    st.sampled_from(["1", "2", "", "150", "-1", "many"]),
)
Row = tuple[int, str, str, str]


def content(rows: list[Row]) -> str:
    return HEADER + "".join(f"{','.join(map(str, one))}\n" for one in rows)


@st.composite
def landings(draw: st.DrawFn) -> tuple[list[Row], list[list[list[Row]]]]:
    """Rows; and runs, each a list of files, in which all of these rows land at least once."""
    rows = draw(st.lists(row, min_size=1, max_size=12))
    more = draw(st.lists(st.sampled_from(rows), max_size=6))
    shuffled = draw(st.permutations([*rows, *more]))
    cuts = sorted(draw(st.lists(st.integers(1, len(shuffled)), max_size=3, unique=True)))
    bounds = [0, *cuts, len(shuffled)]
    files = [shuffled[low:high] for low, high in itertools.pairwise(bounds) if low < high]
    again = draw(st.lists(st.sampled_from(files), max_size=1))
    runs: list[list[list[Row]]] = [[]]
    for file in [*files, *again]:
        if draw(st.booleans()):
            runs.append([])
        runs[-1].append(file)
    return rows, [run for run in runs if run]


def land(home: Home, runs: list[list[list[Row]]]) -> None:
    number = 0
    for run in runs:
        staged = []
        for file in run:
            number += 1
            staged.append(home.staged(f"{number}.csv", content(file)))
        home.commit_batches(*staged)


def check_accounts(home: Home) -> None:
    ledger = home.lake.ledger()
    refused = home.lake.read("quarantine", ["batch", "kind"]).to_pylist()
    recorded = home.lake.read("duplicates", ["batch", "by", "kind"]).to_pylist()
    for one in ledger:
        assert one.rows == one.accepted + one.quarantined + one.duplicates
        mine = [entry["kind"] for entry in refused if entry["batch"] == one.batch]
        assert mine == (["row"] * one.quarantined if one.verdict == "accepted" else ["file"])
        own = [entry for entry in recorded if entry["batch"] == one.batch and entry["kind"] != "superseded"]
        assert len(own) == one.duplicates
        assert sum(entry["by"] == one.batch and entry["kind"] == "superseded" for entry in recorded) == one.superseded
    rows = home.lake.read("observations", ["_batch", "_row", "_row_id"])
    assert rows.num_rows == sum(one.accepted - one.superseded for one in ledger)
    assert len(set(zip(*rows.select(["_batch", "_row"]).to_pydict().values(), strict=True))) == rows.num_rows
    assert len(set(rows.column("_row_id").to_pylist())) == rows.num_rows
    assert home.lake.dataset(ledger).rows == rows.num_rows
    assert home.lake.orphans("observations", ledger) == []


def expected(rows: list[Row]) -> list[tuple[int, str, str]]:
    """Keys and times that stay: of each key the latest time among rows that keep the contract."""
    latest: dict[tuple[int, str], str] = {}
    for number, place, at, x in rows:
        if x in ("", "1", "2"):
            latest[number, place] = max(at, latest.get((number, place), ""))
    return sorted((number, place, at) for (number, place), at in latest.items())


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(landings())
def test_the_same_rows_give_the_same_observations(landed: tuple[list[Row], list[list[list[Row]]]]) -> None:
    rows, runs = landed
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        whole, pieces = (Home(Path(each), pipeline(Path(each), LATEST)) for each in (one, other))
        land(whole, [[rows]])
        land(pieces, runs)
        assert pieces.observations() == whole.observations()
        found = [(key, place, at.date().isoformat()) for key, place, at, _ in pieces.observations()]  # type: ignore[attr-defined]
        assert sorted(found) == expected(rows)
        check_accounts(whole)
        check_accounts(pieces)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(landings(), st.sampled_from(["reject", "keep_first"]), st.sampled_from([0.3, 1.0]))
def test_every_row_is_accounted_for(landed: tuple[list[Row], list[list[list[Row]]]], policy: str, share: float) -> None:
    _, runs = landed
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder), pipeline(Path(folder), f"{{duplicate_key: {policy}}}", share=share))
        land(home, runs)
        check_accounts(home)
        keys = [tuple(one[:2]) for one in home.observations()]
        assert len(set(keys)) == len(keys)
