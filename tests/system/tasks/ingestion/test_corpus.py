"""Hundreds of damaged files: each ends with a verdict and a reason, and the sound ones beside them come in whole."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tasks.records.data import BatchRecord
from tasks.stores.lake.tables import Lake
from tests.support.corpus import build, table
from tests.support.corpus.alone import YAML, Verdict, judged
from tests.support.corpus.base import Row, Sample, rows
from tests.support.world import ROOT, World

FOLDERS = ("archives", "cells", "cut", "empty", "encodings", "excel", "feather", "flipped", "good", "headers", "jsonl",
           "misnamed", "parquet", "quotes", "rows", "sizes")  # fmt: skip
TABLES = ("observations", "batches", "quarantine", "duplicates", "expectations", "resolutions")
MEBIBYTES = 1000  # of which half is what is imported
# A trace, a module's path, an exception's name: words for the one who wrote the reader.
NOISE = re.compile(r"Traceback|site-packages|\.py\b|<class|\b[A-Z]\w+(?:Error|Exception)\b|/tmp/|\bNone\b|\n")


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [*build.damaged(), *build.good()]


@pytest.fixture(scope="module")
def verdicts(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    return judged(tmp_path_factory.mktemp("alone"), samples)


def mistake(sample: Sample, found: Verdict) -> str:
    """What is wrong with a verdict; nothing where it is as it must be."""
    came, left = found.verdict == "accepted", found.quarantined
    as_must = {
        "refused": found.verdict == "rejected",
        "partly": came and left > 0,
        "whole": came and not left,
        "all_or_nothing": not came or not left,
        "either": True,
    }
    if found.verdict == "exception" or not as_must[sample.fate]:
        return f"must be {sample.fate}, found {found}"
    if found.rows != found.accepted + found.quarantined + found.duplicates:
        return f"rows are lost: {found}"
    if came and sample.rows is not None and found.accepted != sample.rows:
        return f"{sample.rows} rows must come in, found {found}"
    return "" if came and not left else unclear(sample, found.reason)


def unclear(sample: Sample, reason: str) -> str:
    """What is wrong with a reason."""
    if len(reason) < 10 or not reason.isprintable() or NOISE.search(reason):
        return f"no reason for a person: {reason!r}"
    lacking = [words for words in sample.says if words not in reason]
    return f"{lacking} not in: {reason}" if lacking else ""


# ------------------------------------------------------------------------------------------------ the corpus itself
def test_the_corpus_is_large_and_no_two_files_are_the_same(samples: list[Sample]) -> None:
    assert len(samples) - sum(one.name.startswith("good/") for one in samples) >= 300
    assert {one.name.partition("/")[0] for one in samples} == set(FOLDERS)
    assert len({one.name for one in samples}) == len({one.content for one in samples}) == len(samples)


def test_it_is_the_same_each_time(samples: list[Sample]) -> None:
    assert [*build.damaged(), *build.good()] == samples


# ------------------------------------------------------------------------------------------------ file by file
@pytest.mark.parametrize("folder", FOLDERS)
def test_each_file_has_its_verdict_and_a_clear_reason(
    folder: str, samples: list[Sample], verdicts: dict[str, Verdict]
) -> None:
    mine = [one for one in samples if one.name.startswith(f"{folder}/")]
    assert {one.name: wrong for one in mine if (wrong := mistake(one, verdicts[one.name]))} == {}


def test_the_page_shows_what_becomes_of_them(samples: list[Sample]) -> None:
    page = (ROOT / "docs" / "damaged-files.md").read_text(encoding="utf-8")
    assert table.table(samples) in page, "write it anew: python -m tests.support.corpus.build --table"


# ------------------------------------------------------------------------------------------------ in one run
class Run(NamedTuple):
    """What ingest runs over the whole corpus left."""

    first: dict[str, int]
    second: dict[str, int]
    said: str
    lake: Lake
    ledger: dict[str, BatchRecord]


@pytest.fixture(scope="module")
def run(samples: list[Sample], module_world: World) -> Run:
    (module_world.configs / "corpus.yaml").write_text(YAML, encoding="utf-8")
    build.write(module_world.landing("corpus"), samples)
    first, said = ingested()
    second, more = ingested()
    lake = Lake(module_world.settings, module_world.config("corpus"))
    return Run(first, second, said + more, lake, {one.path: one for one in lake.ledger()})


def ingested() -> tuple[dict[str, int], str]:
    """What a run says of itself, and all else that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.corpus.run"],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    *others, last = done.stdout.splitlines()
    return json.loads(last), "\n".join([*others, done.stderr])


def test_every_file_is_in_the_ledger_with_its_verdict(run: Run, samples: list[Sample]) -> None:
    assert run.first["files"] == len(samples)
    assert sorted(run.ledger) == sorted(one.name for one in samples)
    wrong = {}
    for one in samples:
        found = run.ledger[one.name]
        counts = (found.rows, found.accepted, found.quarantined, found.duplicates)
        told = "; ".join(found.reasons)
        verdict = Verdict(found.verdict, told, *counts)
        wrong[one.name] = mistake(
            one if found.reasons else one._replace(says=()), verdict._replace(reason=told or "-" * 10)
        )
    assert {name: what for name, what in wrong.items() if what} == {}


def test_a_second_run_takes_nothing(run: Run) -> None:
    assert run.second["files"] == 0


def test_nothing_that_was_printed_is_for_programmers_alone(run: Run) -> None:
    assert not re.search(r"Traceback|Error:|Exception:", run.said)
    assert run.said.count(": rejected, ") == sum(one.verdict == "rejected" for one in run.ledger.values())


def test_memory_stays_bounded(run: Run) -> None:
    assert run.first["mebibytes"] < MEBIBYTES


def test_all_tables_can_be_read_and_every_refused_row_is_in_quarantine(run: Run) -> None:
    for name in TABLES:
        run.lake.read(name).to_pylist()  # type: ignore[arg-type]  # a name is one of those that it knows
    entries = run.lake.read("quarantine", ["path", "kind", "row", "reason"]).to_pylist()
    assert not [one for one in entries if not one["path"] or len(one["reason"]) < 10 or not one["reason"].isprintable()]
    assert not [one for one in entries if one["kind"] == "row" and one["row"] is None]
    found = Counter((one["path"], one["kind"]) for one in entries)
    wanted = {(path, "row"): one.quarantined for path, one in run.ledger.items() if one.verdict == "accepted"}
    wanted |= {(path, "file"): 1 for path, one in run.ledger.items() if one.verdict == "rejected"}
    assert found == Counter(wanted)


def test_sound_files_and_those_with_checksums_come_in_as_they_were(run: Run, samples: list[Sample]) -> None:
    found: dict[str, list[Row]] = {}
    for row in run.lake.read("observations", list(rows("x")[0])).to_pylist():
        found.setdefault(row["place"], []).append(row)
    for one in samples:
        place = Path(one.name).name.partition(".")[0]
        if one.name.startswith("good/") or (
            one.fate == "all_or_nothing" and run.ledger[one.name].verdict == "accepted"
        ):
            assert sorted(found[place], key=_id) == rows(place), one.name
    assert sum(name.startswith("good-") for name in found) == sum(one.name.startswith("good/") for one in samples)


def _id(row: dict[str, Any]) -> int:
    return int(row["id"])
