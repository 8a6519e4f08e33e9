"""Quarantine: listed, shown, exported, given back as it is, repaired, or corrected by the contract, and given up."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.stores.lake.tables import Lake
from tasks.stores.state.audit import Audit
from tests.support.command import Cli
from tests.support.world import World, trips

BOATS: dict[str, Any] = {"contract": {"columns": {"kind": {"allowed": ["bus", "rail", "tram", "boat"]}}}}
KEYLESS: dict[str, Any] = {"contract": {"key": []}}
ROWS = 30


def ingest(name: str) -> dict[str, tuple[str, int, int]]:
    """Verdict, accepted and quarantined rows of what one run takes in, by path."""
    from tests.support.direct import ingest as flow

    return {one.path: (one.verdict, one.accepted, one.quarantined) for one in flow(name).batches}


def give(name: str, repaired: Path | None = None, of: str | None = None, **wanted: Any) -> dict[str, list[str]]:
    """Entries by what came of them."""
    from flows.quarantine import readmit
    from tasks.quarantine.select import Selection

    found: dict[str, list[str]] = {}
    for one in readmit(name, Selection(**wanted), repaired, of).outcomes:
        found.setdefault(one.outcome, []).append(one.entry)
    return found


def spoilt(first: int = 0) -> str:
    """A csv file of thirty rows: row 4 has a text for a number, row 8 a boat, row 10 a number that is too large."""
    frame = trips(first, ROWS, seed=first + 1).astype({"x1": object})
    frame.loc[3, "x1"], frame.loc[7, "kind"], frame.loc[9, "x1"] = "a,b", "boat", 5000.25
    return str(frame.to_csv(index=False))


def batch_of(world: World, name: str, path: str) -> str:
    return str(world.ledger(name)[path].batch[:12])


def values(world: World, name: str, column: str) -> dict[int, Any]:
    """A column of the observations by id."""
    found = Lake(world.settings, world.config(name)).read("observations", ["id", column])
    ids = found.column("id").to_pylist()
    assert len(ids) == len(set(ids))
    return dict(zip(ids, found.column(column).to_pylist(), strict=True))


def open_ids(world: World, name: str) -> list[str]:
    from tasks.quarantine.drop import open_keys
    from tasks.quarantine.entries import Quarantine
    from tasks.quarantine.select import EntryFilter

    quarantine = Quarantine(Lake(world.settings, world.config(name)))
    return sorted(key.id for key in open_keys(quarantine, EntryFilter()))


def edited(path: Path, change: Callable[[dict[str, str]], dict[str, str] | None]) -> Path:
    """A repaired copy of an exported csv file, each row changed or left out."""
    with path.open(encoding="utf-8", newline="") as handle:
        rows = [new for row in csv.DictReader(handle) if (new := change(row)) is not None]
    copy = path.with_name(f"repaired-{path.name}")
    with copy.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return copy


def said_events(world: World, name: str) -> list[str]:
    """Names of the events that were ever put for a pipeline, oldest first."""
    with sqlite3.connect(world.settings.state / "audit.db") as database:
        return [
            name for (name,) in database.execute("select event from outbox where pipeline = ? order by number", [name])
        ]


@pytest.fixture
def say(module_world: World, cli: Cli) -> Callable[..., dict[str, Any]]:
    """A command of quarantine, as JSON; it must end well."""

    def call(*words: str) -> dict[str, Any]:
        said = cli("quarantine", *words, "--json")
        assert said.code == 0, said.err
        return said.json()

    return call


def test_what_waits_is_listed_shown_and_told_in_the_status(
    module_world: World, cli: Cli, say: Callable[..., dict[str, Any]]
) -> None:
    module_world.pipeline("seen")
    module_world.land("seen", "day/a.csv", spoilt())
    module_world.land("seen", "b.csv", "id,at\n1,2\n")
    assert ingest("seen") == {"day/a.csv": ("accepted", 27, 3), "b.csv": ("rejected", 0, 0)}
    found = say("list", "seen")
    assert found["open"] == {"rows": 3, "files": 1}
    assert [(one["path"], one["expectation"], one["rows"], one["line"]) for one in found["groups"]] == [
        ("b.csv", "file", 1, None),
        ("day/a.csv", "expect_column_values_to_be_between(x1)", 1, 11),
        ("day/a.csv", "expect_column_values_to_be_in_set(kind)", 1, 9),
        ("day/a.csv", "type", 1, 5),
    ]
    a = batch_of(module_world, "seen", "day/a.csv")
    assert [one["id"] for one in say("list", "seen", "--rows", "--file", "a.csv")["entries"]] == [
        f"{a}:4",
        f"{a}:8",
        f"{a}:10",
    ]
    page = say("list", "seen", "--rows", "--limit", "2", "--offset", "3", "--batch", a)
    assert (page["entries"], page["total"]) == ([], 3)
    assert say("list", "seen", "--expectation", "IN_SET")["open"] == {"rows": 1, "files": 0}
    one = say("show", "seen", f"{a[:6]}:4")
    assert (one["entry"]["line"], one["cells"]["x1"], one["unreadable"]) == (5, "a,b", ["x1"])
    assert one["entry"]["key"] == {"id": 3}
    assert one["lies"].endswith("landing/seen/day/a.csv")
    whole = say("show", "seen", batch_of(module_world, "seen", "b.csv"))
    assert "columns missing: x1" in whole["entry"]["reason"]
    (module_world.landing("seen") / "b.csv").unlink()
    assert cli("quarantine", "show", "seen", whole["id"]).out.rstrip().endswith("b.csv, removed")
    assert "quarantine: 3 rows and 1 file wait" in cli("status", "seen").out


def test_wrong_ids_are_told_with_what_is_near(module_world: World, cli: Cli) -> None:
    module_world.pipeline("wrong")
    module_world.land("wrong", "a.csv", spoilt())
    ingest("wrong")
    a = batch_of(module_world, "wrong", "a.csv")
    other = f"{a[:-1]}{'0' if a[-1] != '0' else '1'}"
    for words, told in {
        ("show", "wrong", f"{a}:5"): f"row 5 of a.csv is not in quarantine. The nearest: {a}:4",
        ("show", "wrong", a): "it was not rejected as a whole; 3 of its rows were",
        ("show", "wrong", f"{other}:4"): f"No batch {other!r}: the closest is {a}",
        ("show", "wrong", "row 4"): "expected an entry's id",
        ("list", "wrong", "--batch", other): f"the closest is {a}",
        ("export", "wrong", "--to", "x.txt"): "expected a name that ends with .csv or .jsonl",
        ("drop", "wrong", f"{a}:5", "--yes"): "no open entry matches",
        ("drop", "wrong", f"{a}:4"): "say --yes",
        ("drop", "wrong", "--yes"): "Say which entries",
        ("readmit", "wrong", "--of", a): "give --file, too",
        ("readmit", "wrong", "--file", "day*.csv"): "use --landed GLOB",
        ("readmit", "wrong", "--expectation", "no such"): "no open entry matches",
    }.items():
        said = cli("quarantine", *words)
        assert (said.code, told in said.err, "Traceback" in said.err) == (2, True, False), (words, said)
    assert len(open_ids(module_world, "wrong")) == 3


def test_a_corrected_contract_readmits_and_links_to_the_original(
    module_world: World, cli: Cli, say: Callable[..., dict[str, Any]]
) -> None:
    module_world.pipeline("fix")
    module_world.land("fix", "a.csv", spoilt())
    ingest("fix")
    a = batch_of(module_world, "fix", "a.csv")
    assert sorted(give("fix")["refused"]) == sorted([f"{a}:4", f"{a}:8", f"{a}:10"])  # nothing was corrected yet
    assert open_ids(module_world, "fix") == sorted([f"{a}:4", f"{a}:8", f"{a}:10"])
    module_world.pipeline("fix", BOATS)
    assert ingest("fix") == {}  # nobody said so
    assert give("fix", expectation="in_set") == {"accepted": [f"{a}:8"]}
    assert values(module_world, "fix", "kind")[7] == "boat"
    assert open_ids(module_world, "fix") == sorted([f"{a}:4", f"{a}:10"])
    shown = say("show", "fix", f"{a}:8")
    into = shown["resolved"]["into"]
    assert module_world.settings.state.joinpath("readmitted/fix/observations").is_dir()
    assert next(one for one in module_world.ledger("fix").values() if one.batch == into).accepted == 1
    states = {one["expectation"]: one["state"] for one in say("list", "fix", "--all")["groups"]}
    assert states["expect_column_values_to_be_in_set(kind)"] == "readmitted"
    assert ingest("fix") == {}
    module_world.pipeline("fix", {**BOATS, "validation": {"max_quarantined_share": 0.9}})
    assert ingest("fix") == {}
    assert len(values(module_world, "fix", "kind")) == 28
    said = cli("quarantine", "readmit", "fix", f"{a}:8")
    assert (said.code, "no open entry matches" in said.err) == (2, True)


def test_a_repaired_export_comes_in_where_it_is_right(module_world: World, say: Callable[..., dict[str, Any]]) -> None:
    strict = {"contract": {"policies": {"duplicate_key": "keep_first", "unknown_columns": "reject"}}}
    module_world.pipeline("repair", {"source": {"delimiter": ","}, **strict})
    module_world.land("repair", "a.csv", spoilt())
    ingest("repair")
    a = batch_of(module_world, "repair", "a.csv")
    path = module_world.home / "refused.csv"
    assert say("export", "repair", "--to", str(path))["rows"] == 3

    def fix(row: dict[str, str]) -> dict[str, str]:
        fixes = {"4": {"x1": "-0.1"}, "8": {"id": "0", "kind": "bus"}, "10": {"x1": "6000"}}
        return {**row, **fixes[row["_quarantine"].rpartition(":")[2]]}

    came = give("repair", edited(path, fix))
    assert came == {"accepted": [f"{a}:4"], "duplicate": [f"{a}:8"], "refused": [f"{a}:10"]}
    assert values(module_world, "repair", "x1")[3] == -0.1
    (again,) = open_ids(module_world, "repair")
    assert again.endswith(":3")
    old = say("show", "repair", f"{a}:10")
    new = say("show", "repair", again)
    assert (old["again"], new["was"].split(",")[0], new["cells"]["x1"]) == (again, f"{a}:10", 6000.0)
    # The same file once more tells what came of it; one with an entry that is not open any more is refused.
    assert give("repair", path.with_name("repaired-refused.csv")) == came
    with pytest.raises(Exception, match=rf"no longer open: readmitted with .*rejected again as {again}"):
        give("repair", edited(path, lambda row: row if row["id"] == "9" else None))
    with pytest.raises(Exception, match=r"Rows 1 and 2 both name the entry"):
        give("repair", edited(path, lambda row: {**row, "_quarantine": again}))
    with pytest.raises(Exception, match=r"names no entry: `_quarantine` is empty"):
        give("repair", edited(path, lambda row: {**row, "_quarantine": again if row["id"] == "9" else ""}))
    assert len(values(module_world, "repair", "x1")) == 28


def test_a_repaired_file_stands_for_one_that_was_refused_whole(module_world: World, cli: Cli) -> None:
    module_world.pipeline("whole", {**KEYLESS, "source": {"encoding": "cp1252", "delimiter": ";"}})
    frame = trips(0, 5, seed=1)
    module_world.land("whole", "a.csv", frame.drop(columns="kind").to_csv(index=False, sep=";"))
    module_world.land("whole", "b.csv", trips(5, 5, seed=2).to_csv(index=False, sep=";"))
    assert ingest("whole") == {"a.csv": ("rejected", 0, 0), "b.csv": ("accepted", 5, 0)}
    a, b = batch_of(module_world, "whole", "a.csv"), batch_of(module_world, "whole", "b.csv")
    fixed = module_world.home / "fixed.csv"
    fixed.write_text(frame.to_csv(index=False, sep=";"), encoding="cp1252")
    said = cli("quarantine", "readmit", "whole", "--file", str(fixed), "--of", b)
    assert (said.code, "expected the id of a rejected file" in said.err) == (2, True)
    same = cli("quarantine", "readmit", "whole", "--file", str(module_world.landing("whole") / "a.csv"), "--of", a)
    assert (same.code, "the same content as a.csv, which was rejected" in same.err) == (2, True)
    assert give("whole", fixed, a) == {"accepted": [a]}
    # The refused one is not judged anew, though by other rules it would come in beside the one that stands for it.
    optional = {"contract": {"key": [], "columns": {"kind": {"required": False, "nullable": True}}}}
    module_world.pipeline("whole", {**optional, "source": {"encoding": "cp1252", "delimiter": ";"}})
    assert ingest("whole") == {}
    assert len(module_world.row_ids("whole")) == 10
    assert open_ids(module_world, "whole") == []


def test_a_refused_file_is_judged_anew_only_where_its_rules_changed(module_world: World) -> None:
    module_world.pipeline("anew")
    module_world.land("anew", "a.csv", trips(0, 5, seed=1).drop(columns="x2"))
    ingest("anew")
    a = batch_of(module_world, "anew", "a.csv")
    assert give("anew") == {"refused": [a]}
    module_world.pipeline("anew", {"contract": {"columns": {"x2": {"required": False}}}})
    module_world.land("anew", "b.csv", trips(5, 5, seed=1).drop(columns="x2"))
    assert give("anew", entries=(a,)) == {"accepted": [a]}
    assert set(values(module_world, "anew", "x1")) == set(range(5))  # b.csv was not asked for
    assert open_ids(module_world, "anew") == []


def test_rows_without_a_key_come_back_once_however_often_they_are_given(module_world: World) -> None:
    from tasks.quarantine.entries import Quarantine
    from tasks.quarantine.readmission_files import write_entries
    from tasks.quarantine.select import EntryFilter

    module_world.pipeline("once", KEYLESS)
    module_world.land("once", "a.csv", spoilt())
    ingest("once")
    a = batch_of(module_world, "once", "a.csv")
    config = module_world.pipeline("once", {"contract": {"key": [], **BOATS["contract"]}})
    # As if a readmission was killed before its file was judged: the next run takes it in, or the next readmission.
    write_entries(config, module_world.settings, Quarantine(Lake(module_world.settings, config)), EntryFilter())
    assert give("once") == {"accepted": [f"{a}:8"], "refused": [f"{a}:4", f"{a}:10"]}
    assert ingest("once") == {}
    path = module_world.home / "once.csv"
    from tasks.quarantine.export import export

    export(config, Quarantine(Lake(module_world.settings, config)), EntryFilter(), path)
    first = edited(path, lambda row: {**row, "x1": "7000"})
    assert len(give("once", first)["refused"]) == 2  # refused whole: it would be judged anew with other rules
    second = edited(path, lambda row: {**row, "x1": "70"})
    second = second.rename(second.with_name("second.csv"))
    assert len(give("once", second)["accepted"]) == 2
    wide = {**BOATS["contract"]["columns"], "x1": {"maximum": 9000}}
    module_world.pipeline("once", {"contract": {"key": [], "columns": wide}})
    assert ingest("once") == {}
    assert len(module_world.row_ids("once")) == ROWS


def test_what_is_dropped_leaves_its_reason_and_no_values(
    module_world: World, cli: Cli, say: Callable[..., dict[str, Any]]
) -> None:
    config = module_world.pipeline("gone")
    module_world.land("gone", "a.csv", spoilt())
    module_world.land("gone", "b.csv", trips(50, 5, seed=1).drop(columns="x2"))
    ingest("gone")
    a, b = batch_of(module_world, "gone", "a.csv"), batch_of(module_world, "gone", "b.csv")
    said = cli("quarantine", "drop", "gone", f"{a}:4", b, "--yes", "--why", "test data", "--json")
    assert said.json() == {"pipeline": "gone", "rows": 1, "files": 1}
    left = Lake(module_world.settings, config).read("quarantine", ["row", "content"]).to_pylist()
    assert sorted(one["row"] for one in left) == [8, 10]
    assert open_ids(module_world, "gone") == sorted([f"{a}:8", f"{a}:10"])
    shown = say("show", "gone", f"{a}:4")
    assert (shown["entry"], shown["cells"], shown["resolved"]["by"], shown["resolved"]["why"]) == (
        None,
        {},
        "tests",
        "test data",
    )
    assert sorted(one["entry"] for one in say("list", "gone", "--all")["dropped"]) == sorted([b, f"{a}:4"])
    phases = [(one.action, one.phase, one.reason) for one in Audit(module_world.settings).entries("gone", "drop")]
    assert phases == [("drop", "intent", "test data"), ("drop", "done", "test data")]
    module_world.pipeline("gone", {"contract": {"columns": {"x2": {"required": False}}}})
    assert ingest("gone") == {}  # b.csv was given up
    assert cli("quarantine", "drop", "gone", f"{a}:4", "--yes").code == 2


HARD = ['a "b", c', "line\nbreak", "\r", " blank ", "ü€𝄞", "'", "1e5", "true", "=1+1", "\ttab"]
NUMBERS = [0.1 + 0.2, 1e-300, -1.7976931348623157e308, 3.0, 5e-324, 123456789.123456789, -0.0, 2.5e17, 1 / 3, 1e22]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_exports_come_back_to_the_last_digit(module_world: World, ending: str) -> None:
    from tasks.quarantine.entries import Quarantine
    from tasks.quarantine.export import export
    from tasks.quarantine.select import EntryFilter

    name = f"exact_{ending}"
    columns = {"x1": {"maximum": None, "minimum": None}, "kind": {"allowed": None}, "x2": {"maximum": -1.0}}
    contract = {"columns": columns, "policies": {"unknown_columns": "keep"}}
    module_world.pipeline(name, {"contract": contract, "validation": {"max_quarantined_share": 1.0}})
    at = "2026-01-01T00:00:00.000001+00:00"
    lines = [
        {"id": 9007199254740993 + n, "at": at, "x1": x, "x2": -2.0 if n else None, "kind": text, "y": x, "Färbe": text}
        for n, (x, text) in enumerate(zip(NUMBERS, HARD, strict=True))
    ]
    bad = [{**one, "x2": 5.0} for one in lines]
    module_world.land(name, "a.jsonl", "".join(json.dumps(one) + "\n" for one in [*bad, {**lines[0], "id": 1}]))
    assert ingest(name) == {"a.jsonl": ("accepted", 1, 10)}
    path = module_world.home / f"{name}.{ending}"
    config = module_world.config(name)
    assert export(config, Quarantine(Lake(module_world.settings, config)), EntryFilter(), path).rows == 10
    columns["x2"] = {}
    module_world.pipeline(name, {"contract": contract})
    assert len(give(name, path)["accepted"]) == 10
    found = Lake(module_world.settings, config).read("observations", ["id", "at", "x1", "kind", "y", "_extra"])
    came = {row["id"]: row for row in found.to_pylist()}
    for one in bad:
        row = came[one["id"]]
        assert (repr(row["x1"]), row["kind"], dict(row["_extra"])["Färbe"]) == (
            repr(one["x1"]),
            one["kind"],
            one["kind"],
        )
        assert row["at"].isoformat() == at


def test_the_page_tells_what_waits_and_what_to_type(module_world: World) -> None:
    from prefect.artifacts import Artifact

    from flows.ingest import ingest as flow

    module_world.pipeline("page")
    module_world.land("page", "a.csv", spoilt())
    module_world.land("page", "b|c.csv", "id,at\n1,2\n")
    flow("page")
    a = batch_of(module_world, "page", "a.csv")

    def page() -> str:
        found: Any = Artifact.get("page-quarantine")  # its type says that it may be a coroutine, too
        return str(found.data)

    assert page().startswith("# page: 3 rows and 1 file in quarantine")
    assert f'| a.csv | `{a}` | type | 1 | 5 | x1 = "a,b" | not of the contract\'s type |' in page()
    assert "| 11 | x1 = 5000.25 | expected min_value=-1000.0, max_value=1000.0 |" in page()
    assert f'| a.csv | `{a}` | expect_column_values_to_be_in_set(kind) | 1 | 9 | kind = "boat" |' in page()
    assert f"export page --to rejected.csv --batch {a} --expectation 'expect_column_values_to_be_between(x1)'" in page()
    assert r"b\|c.csv" in page()
    told = said_events(module_world, "page")
    give("page", batch=a)  # refused again, as a whole
    assert said_events(module_world, "page")[len(told) :] == ["perennial.data.rejected"]
    module_world.pipeline("page", BOATS)
    give("page", expectation="in_set")
    assert page().startswith("# page: 2 rows and 1 file in quarantine")
