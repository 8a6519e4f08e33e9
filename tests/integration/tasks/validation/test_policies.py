"""The contract's policies, and what expectations find, in files of a few rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.records.data import BatchRecord
from tasks.validation import rows as pieces
from tests.support.validation.batches import NOW, Home, pipeline

HEADER = "id,place,at,x\n"
EARLY = "1,a,2026-01-01,1\n2,a,2026-01-02,2\n"


def home(tmp_path: Path, policies: str = "{}", expectations: str = "[]", share: float = 1.0) -> Home:
    return Home(tmp_path, pipeline(tmp_path, policies, expectations, share))


def outcome(record: BatchRecord) -> tuple[str, int, int, int]:
    return record.verdict, record.accepted, record.quarantined, record.duplicates


def refused(home: Home) -> dict[int, tuple[str, str]]:
    entries = home.lake.read("quarantine", ["row", "expectation", "reason"]).to_pylist()
    return {one["row"]: (one["expectation"], one["reason"]) for one in entries}


class TestTimes:
    @pytest.mark.parametrize(
        ("policy", "wanted"), [("quarantine", ("accepted", 2, 1, 0)), ("reject", ("rejected", 0, 3, 0))]
    )
    def test_a_row_from_the_future(self, tmp_path: Path, policy: str, wanted: tuple[str, int, int, int]) -> None:
        there = home(tmp_path, f"{{future: {policy}}}")
        record = there.land("a.csv", HEADER + EARLY + "3,a,2026-03-01T00:06,1\n")
        assert outcome(record) == wanted
        assert ("future" in record.reasons[0]) if record.reasons else refused(there)[3][0] == "future"

    def test_clocks_may_differ_by_some_minutes(self, tmp_path: Path) -> None:
        assert home(tmp_path, "{future: reject}").land("a.csv", HEADER + "1,a,2026-03-01T00:05,1\n").accepted == 1

    def test_validated_again_a_batch_has_its_first_clock(self, tmp_path: Path) -> None:
        there = home(tmp_path, "{future: quarantine}")
        first, again = (there.staged("a.csv", HEADER + EARLY + "3,a,2026-03-09,1\n") for _ in range(2))
        assert there.commit_batches(first)[0].accepted == 2
        assert there.commit_batches(again, now=datetime(2026, 4, 1, tzinfo=UTC))[0].accepted == 2

    def test_late_rows_are_held_against_what_came_before(self, tmp_path: Path) -> None:
        there = home(tmp_path, "{late: quarantine, late_after_hours: 24}")
        assert there.land("a.csv", HEADER + EARLY).quarantined == 0  # nothing came before
        record = there.land("b.csv", HEADER + "3,a,2026-01-01T00:00,1\n4,a,2025-12-31T23:59,1\n")
        assert outcome(record) == ("accepted", 1, 1, 0)
        assert refused(there)[2][0] == "late"
        assert "2026-01-01T00:00:00+00:00" in refused(there)[2][1]

    def test_rows_out_of_order_are_told_across_pieces(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pieces, "CHUNK_ROWS", 2)
        there = home(tmp_path, "{out_of_order: quarantine}")
        days = (1, 3, 2, 3, 1, 4)
        text = "".join(f"{row},a,2026-01-0{day},1\n" for row, day in enumerate(days))
        assert there.land("a.csv", HEADER + text).quarantined == 2
        assert sorted(refused(there)) == [3, 5]


class TestKeys:
    def test_rejected_by_default_the_first_stays(self, tmp_path: Path) -> None:
        there = home(tmp_path)
        assert outcome(there.land("a.csv", HEADER + "1,a,2026-01-01,1\n1,a,2026-01-02,2\n")) == ("accepted", 1, 1, 0)
        assert outcome(there.land("b.csv", HEADER + "1,a,2026-01-03,3\n2,a,2026-01-03,3\n")) == ("accepted", 1, 1, 0)
        reasons = there.lake.read("quarantine", ["reason"]).column("reason").to_pylist()
        assert sorted(reasons) == [
            "a row of an earlier file has the same key",
            "an earlier row of this file has the same key",
        ]
        assert [row[3] for row in there.observations()] == [1.0, 3.0]

    def test_a_refused_file_is_no_reason_against_rows_of_the_next(self, tmp_path: Path) -> None:
        there = home(tmp_path, share=0.4)
        bad = there.staged("a.csv", HEADER + "1,a,2026-01-01,1\n1,a,2026-01-01,1\n")
        good = there.staged("b.csv", HEADER + "1,a,2026-01-02,2\n")
        assert [outcome(one) for one in there.commit_batches(bad, good)] == [
            ("rejected", 0, 2, 0),
            ("accepted", 1, 0, 0),
        ]

    def test_keep_first_records_the_others(self, tmp_path: Path) -> None:
        there = home(tmp_path, "{duplicate_key: keep_first}")
        first = there.land("a.csv", HEADER + "1,a,2026-01-01,1\n1,a,2026-01-02,2\n")
        second = there.land("b.csv", HEADER + "1,a,2026-01-01,1\n")
        assert (outcome(first), outcome(second)) == (("accepted", 1, 0, 1), ("accepted", 0, 0, 1))
        found = there.lake.read("duplicates", ["kind", "row", "kept_batch", "kept_row", "content"]).to_pylist()
        by_kind = {one["kind"]: one for one in found}
        assert json.loads(by_kind["older"]["content"])["x"] == 2.0
        assert by_kind["identical"] == {
            "kind": "identical",
            "row": 1,
            "kept_batch": first.batch,
            "kept_row": 1,
            "content": None,
        }

    def test_keep_last_replaces_and_keeps_what_was_there(self, tmp_path: Path) -> None:
        there = home(tmp_path, "{duplicate_key: keep_last}")
        first = there.land("a.csv", HEADER + EARLY)
        later = there.land("b.csv", HEADER + "1,a,2026-02-01,9\n2,a,2025-01-01,8\n3,b,2026-01-01,7\n")
        assert (later.accepted, later.duplicates, later.superseded) == (2, 1, 1)
        assert [(row[0], row[3]) for row in there.observations()] == [(1, 9.0), (2, 2.0), (3, 7.0)]
        (old,) = [one for one in there.lake.read("duplicates").to_pylist() if one["kind"] == "superseded"]
        assert (old["batch"], old["row"], old["kept_batch"], old["kept_row"]) == (first.batch, 1, later.batch, 1)
        assert json.loads(old["content"])["x"] == 1.0
        assert there.lake.dataset(there.lake.ledger()).rows == 3

    def test_a_batch_that_a_killed_run_merged_has_the_same_counts(self, tmp_path: Path) -> None:
        there = home(tmp_path, "{duplicate_key: keep_last}")
        there.land("a.csv", HEADER + EARLY)
        text = HEADER + "1,a,2026-02-01,9\n"
        once, again = (there.staged("b.csv", text) for _ in range(2))
        (first,), (second,) = there.commit_batches(once), there.commit_batches(again)
        assert (first.accepted, first.superseded) == (second.accepted, second.superseded) == (1, 1)
        assert there.lake.read("duplicates").num_rows == 1


class TestFiles:
    def test_other_content_under_a_name_names_the_former_batch(self, tmp_path: Path) -> None:
        there = home(tmp_path)
        first = there.land("a.csv", HEADER + "1,a,2026-01-01,1\n")
        second = there.land("a.csv", HEADER + "2,a,2026-01-01,1\n")
        assert (first.former, second.former) == (None, first.batch)

    def test_unknown_columns_are_kept_as_text(self, tmp_path: Path) -> None:
        there = home(tmp_path, "{unknown_columns: keep, duplicate_key: keep_last}")
        there.land("a.csv", "id,place,at,x,colour\n1,a,2026-01-01,1,red\n2,a,2026-01-01,1,\n")
        there.land("b.csv", "id,place,at,x,size\n1,a,2026-01-02,1,4\n")  # a merge keeps them, too
        rows = there.lake.read("observations", ["id", "_extra"]).sort_by("id").to_pylist()
        assert dict(rows[0]["_extra"]) == {"size": "4"}
        assert dict(rows[1]["_extra"] or []).get("colour") in (None, "")


ASKED = """
  - {type: expect_column_values_to_be_between, arguments: {column: x, max_value: 5, mostly: 0.6}}
  - {type: expect_column_values_to_be_unique, arguments: {column: x}, severity: warning}
  - {type: expect_column_mean_to_be_between, arguments: {column: x, max_value: 4}, severity: warning}
  - {type: expect_table_row_count_to_be_between, arguments: {min_value: 2}}
  - {type: expect_table_columns_to_match_set, arguments: {column_set: [id, place, at, x]}}
  - {type: expect_column_values_to_be_in_set, arguments: {column: place, value_set: [a], row_condition: "x < 3"}}
  - {type: expect_column_pair_values_a_to_be_greater_than_b, arguments: {column_A: x, column_B: id}, severity: warning}
"""
TEN = (
    HEADER
    + "".join(f"{row},{'b' if row == 1 else 'a'},2026-01-01,{row}\n" for row in range(1, 8))
    + "8,a,2026-01-01,\n"
)


@pytest.mark.parametrize("chunk", [2, 3, 1000])
def test_pieces_of_any_size_come_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(pieces, "CHUNK_ROWS", chunk)
    there = home(tmp_path, expectations=ASKED)
    record = there.land("a.csv", TEN)
    assert outcome(record) == ("accepted", 5, 3, 0)
    assert {row: name.partition("(")[0] for row, (name, _) in refused(there).items()} == {
        1: "expect_column_values_to_be_in_set",
        6: "expect_column_values_to_be_between",
        7: "expect_column_values_to_be_between",
    }
    found = there.lake.read("expectations").sort_by("number").to_pylist()[-7:]
    told = [(one["success"], one["checked"], one["unexpected"], json.loads(one["observed"])) for one in found]
    assert told == [
        (True, 7, 2, None),
        (True, 7, 0, None),
        (True, 0, 0, 4.0),
        (True, 0, 0, 8),
        (True, 0, 0, ["at", "id", "place", "x"]),
        (False, 2, 1, None),
        (False, 8, 8, None),
    ]


def test_files_asked_together_have_results_of_their_own(tmp_path: Path) -> None:
    there = home(tmp_path, expectations=ASKED)
    texts = (TEN, HEADER + "9,a,2026-01-01,9\n10,a,2026-01-01,1\n", HEADER + "11,a,2026-01-01,2\n")
    records = there.commit_batches(*(there.staged(f"{number}.csv", text) for number, text in enumerate(texts)))
    assert [outcome(one)[0] for one in records] == ["accepted", "rejected", "rejected"]
    assert "expect_column_values_to_be_between(x): 1 of 2 fail (50.0%)" in records[1].reasons[0]
    assert records[2].reasons == ("expect_table_row_count_to_be_between: observed 1, expected min_value=2",)
    found = there.lake.read("expectations", ["batch", "rows"]).to_pylist()
    assert {one["rows"] for one in found if one["batch"] == records[0].batch} == {8}


def test_a_limit_in_time_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    config = pipeline(tmp_path)
    at = config.contract.columns["at"].model_copy(update={"minimum": "2020-01-01", "maximum": "2030-01-01"})
    contract = config.contract.model_copy(update={"columns": {**config.contract.columns, "at": at}})
    there = Home(tmp_path / "x", config.model_copy(update={"contract": contract}))
    record = there.land("a.csv", HEADER + "1,a,2019-12-31T23:59,1\n2,a,2020-01-01,1\n3,a,2041-01-01,1\n")
    assert outcome(record) == ("accepted", 1, 2, 0)
    assert refused(there)[3][1] == "at = 2041-01-01 00:00:00+00:00, expected min_value=2020-01-01, max_value=2030-01-01"
    assert NOW.year == 2026
