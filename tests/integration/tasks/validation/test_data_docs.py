"""Data Docs of judged files: what they say, that nothing of the data runs in them, that they load nothing."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tasks.records.data import BatchRecord, ExpectationResult
from tasks.validation.docs.build import build
from tasks.validation.docs.site import MAX_PAGES, build_docs, folder
from tasks.validation.docs.validated import BatchWithResults, newest
from tests.support.world import World, trips

HOSTILE = '<script>alert(1)</script><img src="https://example.invalid/x.png">'


def result(name: str, *, column: str = "x", success: bool = False, **found: Any) -> ExpectationResult:
    severity = found.pop("severity", "critical")
    return ExpectationResult(
        expectation=name, column=column, severity=severity, success=success, **{"unexpected": 0, **found}
    )


def batch(seq: int, results: Sequence[ExpectationResult] = (), **changes: Any) -> BatchWithResults:
    known: dict[str, Any] = {
        "seq": seq,
        "batch": f"{seq:064x}",
        "feed": "observations",
        "path": f"day {seq}.csv",
        "size": 1,
        "mtime_ns": 1,
        "verdict": "accepted",
        "rules": "",
        "reasons": (),
        "rows": 100,
        "accepted": 97,
        "quarantined": 3,
        "event_time_min": None,
        "event_time_max": None,
        "ingested_at": datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=seq),
    }
    return BatchWithResults(batch=BatchRecord(**{**known, **changes}), results=tuple(results))


class Loads(HTMLParser):
    """What a browser would load or run of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def text(path: Path) -> str:
    """What a person reads on a page."""
    body = path.read_text(encoding="utf-8").partition("<body>")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def pages(site: Path) -> list[Path]:
    return sorted(site.glob("validations/**/*.html"))


FOUND = (
    result(
        "expect_column_values_to_be_in_set", arguments={"value_set": ["a"]}, checked=90, unexpected=9, sample=("b", "")
    ),
    result("expect_column_values_to_not_be_null", success=True, checked=100),
    result(
        "expect_column_mean_to_be_between", column="y", arguments={"max_value": 3}, observed=4.25, severity="warning"
    ),
    result("expect_table_row_count_to_be_between", column="", success=True, arguments={"min_value": 1}, observed=100),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("docs")
    broken = batch(2, path="broken.csv", verdict="rejected", reasons=("not a csv file",), rows=0, accepted=0)
    fine = batch(3, FOUND[1:], accepted=100, quarantined=0)
    assert build(place, "mine", [batch(1, FOUND), broken, fine]).problems == ()
    return place


def test_the_index_lists_files_newest_first_with_time_and_verdict(site: Path) -> None:
    told = text(site / "index.html")
    assert told.index("day 3.csv") < told.index("broken.csv") < told.index("day 1.csv")
    assert "day 1.csv 2026-03-01 01:00:00 UTC accepted: 97 of 100 rows, 3 in quarantine 1 critical, 1 warning" in told
    assert "broken.csv 2026-03-01 02:00:00 UTC rejected: not a csv file" in told
    listed = (site / "index.html").read_text(encoding="utf-8")
    # a file with a warning alone came in as it should
    assert re.findall(r"ge-(success|failed)-icon", listed) == ["success", "failed", "failed"]


def test_every_link_leads_to_a_page(site: Path) -> None:
    everywhere = [site / "index.html", *pages(site), *site.glob("expectations/*.html")]
    assert len(everywhere) == 5
    for page in everywhere:
        links = re.findall(r'href="([^"]*)"', page.read_text(encoding="utf-8"))
        local = [one for one in links if not one.startswith(("#", "data:"))]
        assert local, page
        assert all((page.parent / one).is_file() for one in local), (page, local)


def test_a_page_tells_each_expectation_with_its_result(site: Path) -> None:
    (page,) = [one for one in pages(site) if "batch-1" in one.parts]
    told = text(page)
    assert told.startswith("All batches day 1.csv")
    assert "Verdict accepted: 97 of 100 rows, 3 in quarantine" in told
    assert "values must belong to this set: a" in told
    assert "9 unexpected values found. 10% of 90 total rows. Sampled Unexpected Values b ''" in told
    assert "mean must be less than or equal to 3 . 4.25 warning" in told
    assert "Evaluated Expectations 4 Successful Expectations 2 Unsuccessful Expectations 2" in told
    raw = page.read_text(encoding="utf-8")
    marks = re.findall(r"fa-(check-circle|times|exclamation-triangle) text-(\w+)", raw.partition("Table-Level")[2])
    assert sorted(marks) == [
        ("check-circle", "success"),
        ("check-circle", "success"),
        ("exclamation-triangle", "warning"),
        ("times", "danger"),
    ]


def test_a_file_that_could_not_be_read_has_a_page_with_its_reason(site: Path) -> None:
    (page,) = [one for one in pages(site) if "batch-2" in one.parts]
    assert "Verdict rejected: not a csv file" in text(page)


def test_nothing_of_the_data_runs_in_a_page_and_nothing_is_loaded(tmp_path: Path) -> None:
    partition = {"values": [HOSTILE, "b"], "weights": [0.5, 0.5]}
    kl = "expect_column_kl_divergence_to_be_less_than"
    hostile = [
        result("expect_column_values_to_be_in_set", arguments={"value_set": [HOSTILE]}, checked=9, unexpected=9,
               sample=(HOSTILE,)),
        result("expect_column_distinct_values_to_be_in_set", arguments={"value_set": ["a"]}, observed=[HOSTILE]),
        result("expect_column_most_common_value_to_be_in_set", arguments={"value_set": ["a"]}, observed=[HOSTILE]),
        result("expect_column_max_to_be_between", arguments={"max_value": 1}, observed=HOSTILE),
        result("expect_column_pair_values_to_be_equal", column="", arguments={"column_A": "x", "column_B": "y"},
               checked=9, unexpected=1, sample=([HOSTILE, "b"],)),
        result(kl, arguments={"partition_object": partition, "threshold": 0.1}, observed=0.3),
        result("expect_table_columns_to_match_set", column="", arguments={"column_set": ["x"]}, observed=[HOSTILE]),
    ]  # fmt: skip
    one = batch(1, hostile, path=f"{HOSTILE}.csv", notes=(HOSTILE,), reasons=(HOSTILE,), verdict="rejected")
    assert build(tmp_path, "mine", [one]).problems == ()
    written = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html")]
    assert len(written) == 3
    for page in written:
        assert "&lt;script&gt;" in page
        found = Loads()
        found.feed(page)
        assert found.tags.isdisjoint({"script", "img", "iframe", "object", "embed", "base"})
        assert [one for one in found.addresses if ":" in one and one != "data:,"] == []
        assert found.handlers == []
        assert not re.search(r"url\(|@import", page.partition("<style>")[2].partition("</style>")[0])
        assert "default-src 'none'" in page  # the browser would refuse what slipped through


def test_only_missing_pages_are_made_and_those_of_old_batches_go(tmp_path: Path) -> None:
    first = [batch(number, FOUND) for number in (1, 2)]
    assert build(tmp_path, "mine", first).pages == 2
    before = {path: path.stat().st_mtime_ns for path in pages(tmp_path)}
    assert build(tmp_path, "mine", [*first, batch(4, FOUND)]).pages == 1
    assert {path: path.stat().st_mtime_ns for path in pages(tmp_path) if path in before} == before
    build(tmp_path, "mine", [batch(4, FOUND)])
    (left,) = pages(tmp_path)
    assert "batch-4" in left.parts
    assert "day 1.csv" not in text(tmp_path / "index.html")
    assert [path for path in tmp_path.rglob("*") if path.is_dir() and not any(path.iterdir())] == []


def test_pages_of_another_version_are_made_anew(tmp_path: Path) -> None:
    build(tmp_path, "mine", [batch(1, FOUND)])
    (page,) = pages(tmp_path)
    page.write_text("old", encoding="utf-8")
    assert build(tmp_path, "mine", [batch(1, FOUND)]).pages == 0
    (tmp_path / ".made-by").write_text("another", encoding="utf-8")
    assert build(tmp_path, "mine", [batch(1, FOUND)]).pages == 1
    assert "values must belong" in text(page)


@pytest.mark.parametrize(
    "strange",
    [
        result("expect_column_kl_divergence_to_be_less_than", arguments={"partition_object": {"weights": [1]}}),
        result("expect_what_another_version_had", arguments={"least": 3}),
        result("expect_column_mean_to_be_between", arguments={"least": 3}),
    ],
    ids=lambda one: one.expectation,
)
def test_what_can_not_be_drawn_is_told_and_the_rest_is(tmp_path: Path, strange: ExpectationResult) -> None:
    built = build(tmp_path, "mine", [batch(1, [strange, FOUND[0]])])
    assert built.problems
    assert not any("\n" in one or "Traceback" in one for one in built.problems)
    (page,) = pages(tmp_path)
    assert "values must belong to this set" in text(page)
    assert "Unsuccessful Expectations 2" in text(page)
    assert "values must belong to this set" in text(tmp_path / "expectations" / "observations.html")


@pytest.mark.usefixtures("server")
def test_from_landing_to_a_page(module_world: World) -> None:
    from flows.upkeep import upkeep
    from tests.support.direct import ingest

    name = "documented"
    mean = {"type": "expect_column_mean_to_be_between", "arguments": {"column": "x2", "min_value": 50}}
    config = module_world.pipeline(name, {"expectations": [{**mean, "severity": "warning"}]})
    rows = trips(0, 60, seed=1)
    rows.loc[3, "kind"] = HOSTILE
    module_world.land(name, "a.csv", rows)
    module_world.land(name, "b.csv", trips(60, 60, seed=2).drop(columns="x1"))
    ingest(name)
    place = folder(module_world.settings, name)
    assert not place.exists()
    upkeep(name, dry_run=True)
    assert not place.exists()
    upkeep(name)
    told = text(place / "index.html")
    assert re.search(r"a\.csv .{23} accepted: 59 of 60 rows, 1 in quarantine 1 critical, 1 warning", told)
    assert re.search(r"b\.csv .{23} rejected: ", told)
    assert HOSTILE in " ".join(text(page) for page in pages(place))
    assert "values must belong to this set: bus rail tram" in text(place / "expectations" / "observations.html")
    # what the command makes of the table is what the flow made
    made = {path.relative_to(place): path.read_bytes() for path in pages(place)}
    (place / ".made-by").unlink()
    from tasks.stores.lake.tables import Lake

    assert (
        build_docs(module_world.settings, config).pages
        == len(newest(Lake(module_world.settings, config), MAX_PAGES))
        == 2
    )
    again = {path.relative_to(place): path.read_bytes() for path in pages(place)}
    assert {name: strip(page) for name, page in made.items()} == {name: strip(page) for name, page in again.items()}


def strip(page: bytes) -> bytes:
    """A page without the ids that Great Expectations draws by lot."""
    return re.sub(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", b"", page)


def test_the_command_tells_the_page(module_world: World, cli: Any) -> None:
    module_world.pipeline("told")
    said = cli("docs", "told", "--json")
    assert (said.code, said.json()["pages"]) == (0, 0)
    assert Path(said.json()["index"]).is_file()
