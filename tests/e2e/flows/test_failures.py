"""Damaged data and wrong use: each given in words, none changes the champion or what came in before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc
import pytest

from tasks.stores.lake.tables import Lake
from tasks.stores.state.audit import Audit
from tests.support.command import Cli
from tests.support.world import NEVER_RETRAIN, World, make_world, merged, trips

NAME = "delays"
KEYS = {"pipeline", "outcome", "version", "champion", "metrics", "baseline", "gates", "batches", "rows", "stages"}
COLUMNS = ["id", "at", "x1", "x2", "kind", "y"]


@pytest.fixture(scope="module")
def champion(module_world: World) -> World:
    """A pipeline with a champion, that does not train again by itself."""
    module_world.pipeline(NAME, NEVER_RETRAIN)
    module_world.land(NAME, "first.csv", trips(0, 200, seed=1))
    assert module_world.run(NAME).outcome == "promoted"
    return module_world


def test_a_type_that_nobody_audited_is_named_and_the_next_run_with_it_trusted_goes_on(world: World, cli: Cli) -> None:
    own = {"estimator": "tests.support.serving.models.Moody", "parameters": {}}
    world.pipeline("own", {"training": own})
    world.land("own", "a.csv", trips(0, 150, seed=1))
    said = cli("run", "own", "--json")
    assert (said.code, said.json()["outcome"]) == (1, "failed")
    assert said.json()["reasons"][0].startswith(
        "the fitted model holds types that are not audited: tests.support.serving.models.Moody. "
    )
    assert "training.trusted_types" in said.err
    assert "Traceback" not in said.err
    world.pipeline("own", {"training": {**own, "trusted_types": ["tests.support.serving.models.Moody"]}})
    assert world.run("own").outcome == "promoted"


def csv(frame: pd.DataFrame) -> str:
    return str(frame.to_csv(index=False))


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def cell(frame: pd.DataFrame, rows: slice, column: str, value: object) -> pd.DataFrame:
    """The frame with other cells in some rows of a column (as text: any value fits)."""
    values = frame[column].astype(object).tolist()
    values[rows] = [value] * len(values[rows])
    return frame.assign(**{column: pd.Series(values, index=frame.index, dtype=object)})


def with_repeats(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    return pd.concat([frame, frame.head(rows)], ignore_index=True)


@dataclass(frozen=True)
class Case:
    """One damaged file: what is done to good rows, and what must come of it.

    Attributes:
        make: From 20 good rows, with keys that are new, to the file's content.
        says: Words that the reason must hold.
        accepted: Rows that come in; None: the file is refused whole.
        quarantined: Rows of quarantine, where the file comes in.
    """

    file: str
    make: Callable[[pd.DataFrame], str | bytes]
    says: tuple[str, ...]
    accepted: int | None = None
    quarantined: int = 0


ALL, FIRST, MOST = slice(None), slice(0, 1), slice(0, 12)
CASES = (
    Case("empty.csv", lambda _: b"", ("empty", "0 bytes")),
    Case("blank_lines.csv", lambda _: "\n\n\n", ("csv",)),
    Case("header_only.csv", lambda good: csv(good.head(0)), ("no rows below the header",)),
    Case("no_rows.parquet", lambda good: parquet(good.head(0)), ("no rows",)),
    Case("wrong_delimiter.csv", lambda good: str(good.to_csv(index=False, sep="~")), ("columns missing",)),
    Case("truncated.parquet", lambda good: parquet(good)[:-200], ("can't be read as parquet",)),
    Case("not_parquet.parquet", lambda good: csv(good), ("can't be read as parquet",)),
    Case("binary.csv", lambda _: bytes(range(256)) * 20, ()),
    Case("missing_column.csv", lambda good: csv(good.drop(columns="x1")), ("columns missing: x1",)),
    Case("missing_column.parquet", lambda good: parquet(good.drop(columns="y")), ("columns missing: y",)),
    Case("unknown.dat", lambda _: b"who knows", (".dat", ".csv")),
    Case("no_workbook.xlsx", lambda _: b"PK\x03\x04", ("can't be read as excel",)),
    Case("text_in_all.csv", lambda good: csv(cell(good, ALL, "x1", "n.a.!")), ("no valid rows", "20")),
    Case("text_in_most.csv", lambda good: csv(cell(good, MOST, "x1", "high")), ("12 of 20", "allowed 50")),
    Case("text_in_one.csv", lambda good: csv(cell(good, FIRST, "x1", "high")), ("x1", "high"), 19, 1),
    Case("infinite.csv", lambda good: csv(cell(good, FIRST, "x1", "inf")), ("x1", "inf"), 19, 1),
    Case("short_row.csv", lambda good: csv(good) + "987654,2026-01-01\n", ("2 fields", "6"), 20, 1),
    Case("out_of_range.csv", lambda good: csv(cell(good, FIRST, "x1", 5000.0)), ("x1 = 5000",), 19, 1),
    Case("unknown_kind.csv", lambda good: csv(cell(good, FIRST, "kind", "boat")), ("kind = boat",), 19, 1),
    Case("null_key.csv", lambda good: csv(cell(good, FIRST, "id", None)), ("id",), 19, 1),
    Case("bad_time.csv", lambda good: csv(cell(good, FIRST, "at", "yesterday")), ("at", "yesterday"), 19, 1),
    Case("repeated_keys.csv", lambda good: csv(with_repeats(good, 3)), ("earlier row of this file",), 20, 3),
    Case(
        "known_keys.csv",
        lambda good: csv(pd.concat([good, trips(0, 5, seed=9)])),
        ("a row of an earlier file has the same key",),
        20,
        5,
    ),
    Case("all_known.csv", lambda _: csv(trips(0, 20, seed=9)), ("no valid rows", "duplicate_key")),
    Case("null_target.csv", lambda good: csv(cell(good, ALL, "y", None)), ("no valid rows", "(y)")),
    Case("no_row_left.csv", lambda good: csv(cell(good, ALL, "kind", "boat")), ("no valid rows", "(kind)")),
)


def reasons_in_quarantine(world: World, file: str) -> list[dict[str, Any]]:
    rows = Lake(world.settings, world.config(NAME)).read("quarantine", where=pc.field("path") == file)
    return list(rows.to_pylist())


WHOLE = [case for case in CASES if case.accepted is None]
PARTIAL = [case for case in CASES if case.accepted is not None]
ALONE = ("empty.csv", "wrong_delimiter.csv", "truncated.parquet", "null_target.csv")


def land_case(world: World, case: Case) -> Path:
    return world.land(NAME, case.file, case.make(trips(10_000 + 100 * CASES.index(case), 20, seed=CASES.index(case))))


def check_champion(world: World, found: dict[str, Any]) -> None:
    assert world.alias(NAME) == Audit(world.settings).champion(NAME) == found["champion"] == 1


@pytest.mark.parametrize("case", [case for case in CASES if case.file in ALONE], ids=ALONE)
def test_a_file_refused_alone_is_data_rejected(champion: World, cli: Cli, case: Case) -> None:
    before = champion.row_ids(NAME)
    land_case(champion, case)
    said = cli("run", NAME, "--json")
    found = said.json()
    assert (said.code, found["outcome"]) == (3, "data_rejected")
    assert found["batches"] == {"accepted": 0, "rejected": 1}
    (told,) = found["reasons"]
    assert told.startswith(f"{case.file}: ")
    assert all(word in told for word in case.says), told
    assert f"{case.file}: rejected" in said.err
    assert "Traceback" not in said.err
    assert champion.row_ids(NAME) == before
    check_champion(champion, found)


def test_every_file_refused_whole_is_told_by_name_and_changes_nothing(champion: World, cli: Cli) -> None:
    before = champion.row_ids(NAME)
    cases = [case for case in WHOLE if case.file not in ALONE]
    landed = {case.file: land_case(champion, case).read_bytes() for case in cases}
    said = cli("run", NAME, "--json")
    found = said.json()
    assert (said.code, found["outcome"]) == (3, "data_rejected"), said
    assert found["batches"] == {"accepted": 0, "rejected": len(cases)}
    assert "Traceback" not in said.err
    assert champion.row_ids(NAME) == before
    told = {reason.partition(": ")[0]: reason for reason in found["reasons"]}
    assert told.keys() == landed.keys()
    assert {
        case.file: told[case.file] for case in cases if not all(word in told[case.file] for word in case.says)
    } == {}
    ledger = champion.ledger(NAME)
    assert {ledger[file].verdict for file in landed} == {"rejected"}
    assert {file: [one["kind"] for one in reasons_in_quarantine(champion, file)] for file in landed} == {
        file: ["file"] for file in landed
    }
    assert {file: (champion.landing(NAME) / file).read_bytes() for file in landed} == landed
    check_champion(champion, found)


def test_bad_rows_go_to_quarantine_and_the_others_come_in(champion: World, cli: Cli) -> None:
    before = champion.row_ids(NAME)
    for case in PARTIAL:
        land_case(champion, case)
    said = cli("run", NAME, "--json")
    found = said.json()
    assert (said.code, found["outcome"]) == (0, "kept_champion"), said
    assert "Traceback" not in said.err
    after = champion.row_ids(NAME)
    assert set(after) > set(before)
    expected = {case.file: (case.accepted, case.quarantined) for case in PARTIAL}
    ledger = champion.ledger(NAME)
    assert {file: (ledger[file].accepted, ledger[file].quarantined) for file in expected} == expected
    assert len(after) == len(set(after)) == len(before) + sum(case.accepted or 0 for case in PARTIAL)
    assert found["rows"]["quarantined"] == sum(case.quarantined for case in PARTIAL)
    entries = {case.file: reasons_in_quarantine(champion, case.file) for case in PARTIAL}
    assert {file: len(rows) for file, rows in entries.items()} == {case.file: case.quarantined for case in PARTIAL}
    for case in PARTIAL:
        for entry in entries[case.file]:
            assert entry["kind"] == "row"
            assert all(word in entry["reason"] for word in case.says), entry
    check_champion(champion, found)


def test_a_row_in_quarantine_is_named_by_its_number_in_the_file(champion: World, cli: Cli) -> None:
    rows = trips(50_000, 20, seed=77)
    champion.land(NAME, "numbered.csv", csv(cell(rows, slice(6, 7), "x1", "seven")))
    assert cli("run", NAME).code == 0
    (entry,) = reasons_in_quarantine(champion, "numbered.csv")
    assert (entry["row"], entry["line"], entry["key"]) == (7, 8, '{"id":50006}')


def test_a_good_file_comes_in_beside_bad_ones(champion: World, cli: Cli) -> None:
    before = champion.row_ids(NAME)
    good = trips(60_000, 20, seed=80)
    champion.land(NAME, "beside_a.csv", csv(good.drop(columns="x1")))
    champion.land(NAME, "beside_b.csv", csv(good))
    champion.land(NAME, "beside_c.parquet", parquet(good)[:300])
    said = cli("run", NAME, "--json")
    found = said.json()
    assert (said.code, found["outcome"]) == (0, "kept_champion")
    assert found["batches"] == {"accepted": 1, "rejected": 2}
    assert len(champion.row_ids(NAME)) == len(before) + 20
    ledger = champion.ledger(NAME)
    assert [ledger[name].verdict for name in ("beside_a.csv", "beside_b.csv", "beside_c.parquet")] == [
        "rejected",
        "accepted",
        "rejected",
    ]


def test_a_refused_file_is_not_validated_again_and_its_mended_content_comes_in(champion: World, cli: Cli) -> None:
    rows = trips(70_000, 20, seed=81)
    champion.land(NAME, "repaired.csv", csv(rows.drop(columns="x1")))
    assert cli("run", NAME).code == 3
    again = cli("run", NAME, "--json")
    assert (again.code, again.json()["outcome"]) == (0, "nothing_to_do")
    before = champion.row_ids(NAME)
    champion.land(NAME, "repaired.csv", csv(rows))
    assert cli("run", NAME, "--json").json()["rows"]["accepted"] == 20
    assert len(champion.row_ids(NAME)) == len(before) + 20


# ------------------------------------------------------------------------------------------------ targets of one class
ONE_CLASS: dict[str, Any] = {
    "task": "classification",
    "contract": {"columns": {"y": {"type": "string", "allowed": ["late", "on_time"]}}},
    "training": {"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {"C": 1.0}},
    "evaluation": {"primary": "log_loss", "bounds": [{"metric": "roc_auc", "minimum": 0.6}]},
    "split": {"kind": "time", "holdout": 0.3},
}


def late(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(y=["late" if y > 1 else "on_time" for y in frame["y"]])


def test_a_training_set_of_one_class_is_data_rejected(champion: World, cli: Cli) -> None:
    champion.pipeline("one_class", ONE_CLASS)
    champion.land("one_class", "only.csv", csv(trips(0, 150, seed=5).assign(y="late")))
    said = cli("run", "one_class", "--json")
    found = said.json()
    assert (said.code, found["outcome"], found["champion"]) == (3, "data_rejected", None)
    assert any("one class" in reason and "late" in reason for reason in found["reasons"]), found["reasons"]
    assert "Traceback" not in said.err


def test_newest_rows_of_one_class_leave_the_champion(champion: World, cli: Cli) -> None:
    """The time split's whole holdout has one class: some metrics can't be computed, and that must not promote."""
    champion.pipeline("two_classes", ONE_CLASS)
    champion.land("two_classes", "both.csv", csv(late(trips(0, 300, seed=5))))
    assert cli("run", "two_classes", "--json").json()["outcome"] == "promoted"
    champion.land("two_classes", "one.csv", csv(trips(300, 200, seed=6).assign(y="late")))
    said = cli("run", "two_classes", "--json")
    found = said.json()
    assert (said.code, found["outcome"], found["champion"]) == (0, "kept_champion", 1), found["reasons"]
    assert any("roc_auc" in reason for reason in found["reasons"]), found["reasons"]
    assert "Traceback" not in said.err
    assert champion.alias("two_classes") == 1


def test_no_label_in_the_first_files_is_told(champion: World, cli: Cli) -> None:
    champion.pipeline("unlabelled", {"contract": {"columns": {"y": {"nullable": True}}}})
    champion.land("unlabelled", "rows.csv", csv(trips(0, 120, seed=5).assign(y=None)))
    said = cli("run", "unlabelled", "--json")
    found = said.json()
    assert found["champion"] is None
    assert (said.code, found["outcome"]) in ((3, "data_rejected"), (0, "nothing_to_do"))
    assert any("no labelled row" in reason for reason in found["reasons"]), found["reasons"]
    assert "Traceback" not in said.err


# ------------------------------------------------------------------------------------------------ wrong use
def test_an_unknown_pipeline_is_wrong_use(champion: World, cli: Cli) -> None:
    said = cli("run", "delay", "--json")
    assert said.code == 2
    assert f"Did you mean '{NAME}'?" in said.err
    assert "Traceback" not in said.err


def test_a_home_that_cannot_be_written_is_wrong_use(
    champion: World, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("a file where a folder is expected", encoding="utf-8")
    monkeypatch.setenv("PERENNIAL_HOME", str(file / "home"))
    said = cli("run", NAME)
    assert said.code == 2
    assert "can't be written" in said.err
    assert "PERENNIAL_HOME" in said.err
    assert "Traceback" not in said.err


def broken_syntax(text: str) -> str:
    return text.replace("    alpha:", "\talpha:", 1)


def unknown_field(text: str) -> str:
    return text.replace("    alpha: 1.0", "    alpha: 1.0\n  estimater: x", 1)


def wrong_type(text: str) -> str:
    return text.replace("seed: 3", "seed: three", 1)


@pytest.mark.parametrize(
    ("damage", "anchor", "words"),
    [
        (broken_syntax, "\talpha:", ("not YAML",)),
        (unknown_field, "estimater:", ("training.estimater", "estimator")),
        (wrong_type, "seed:", ("seed", "three")),
    ],
)
def test_a_broken_yaml_is_told_with_file_and_line(
    world: World, cli: Cli, damage: Callable[[str], str], anchor: str, words: tuple[str, ...]
) -> None:
    world.pipeline(NAME)
    path = world.configs / f"{NAME}.yaml"
    text = damage(path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    line = next(number for number, one in enumerate(text.splitlines(), start=1) if anchor in one)
    said = cli("run", NAME)
    assert said.code == 2
    assert f"{path}:{line}:" in said.err
    assert all(word in said.err for word in words)
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"estimator": "sklearn.linear_model.Rigde"}, ("training.estimator", "Rigde")),
        ({"estimator": "json.loads"}, ("training.estimator", "json.loads")),
        ({"parameters": {"alfa": 1.0}}, ("parameters", "alfa")),
        ({"parameters": {"alpha": -1.0}}, ("training.parameters", "alpha")),
    ],
    ids=["class", "no_class", "name", "value"],
)
def test_an_estimator_that_cannot_be_made_is_wrong_use(
    champion: World,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    training: dict[str, Any],
    words: tuple[str, ...],
) -> None:
    """The changed recipe makes a training due; it ends before a candidate, the champion stays."""
    other = make_world(champion.home, tmp_path / "configs", monkeypatch)
    other.pipeline(NAME, merged({"training": training}, NEVER_RETRAIN))
    before = champion.row_ids(NAME)
    said = cli("run", NAME)
    assert said.code == 2, said
    assert all(word in said.err for word in words), said.err
    assert "Traceback" not in said.err
    assert champion.alias(NAME) == 1
    assert champion.row_ids(NAME) == before


def test_json_is_one_object_on_standard_output_and_progress_is_on_standard_error(champion: World, cli: Cli) -> None:
    champion.land(NAME, "told.csv", csv(trips(80_000, 20, seed=82)))
    said = cli("run", NAME, "--json")
    found = said.json()
    assert found.keys() >= KEYS
    assert said.out.count("\n") == 1
    assert found["rows"] == {"accepted": 20, "quarantined": 0}
    assert [stage["name"] for stage in found["stages"]] == ["ingestion", "scoring", "monitoring", "decision"]
    assert "told.csv: 20 rows accepted" in said.err
    assert "✓ ingestion " in said.err
