"""What is found in landing places: each content once, markers heeded, what is being written left alone."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec  # type: ignore[import-untyped]  # it ships no types
import pytest

from configs.source import Source
from tasks.ingestion.discover import candidates, content_hash, landed, new_files, takes
from tasks.refs import BatchRecord, LandedFile
from tasks.stores.landing import Folder, open_landing

PLAIN = Source(landing="x")
MARKED = Source(landing="x", ready="marker")


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def found(folder: Path, source: Source = PLAIN, ledger: tuple[BatchRecord, ...] = ()) -> list[str]:
    return [one.path for one in new_files(str(folder), source, "observations", ledger, "rules", pytest.fail)]


def entry(file: LandedFile, **changes: object) -> BatchRecord:
    known = {
        "seq": 1, "batch": file.sha256, "feed": file.feed, "path": file.path, "size": file.size,
        "mtime_ns": file.mtime_ns, "verdict": "accepted", "rules": "rules", "reasons": (), "rows": 1, "accepted": 1,
        "quarantined": 0, "event_time_min": None, "event_time_max": None, "ingested_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return BatchRecord.model_validate({**known, **changes})


@pytest.mark.parametrize(
    ("name", "taken"),
    [("a.csv", True), (".a.csv", False), ("_a.csv", False), ("a.csv.ready", True), ("a.txt", True)],
)
def test_which_names_are_taken(name: str, taken: bool) -> None:
    assert takes(PLAIN, name) is taken
    assert takes(MARKED, name) is (taken and not name.endswith(".ready"))
    assert takes(PLAIN.model_copy(update={"pattern": "*.csv"}), name) is (taken and name.endswith(".csv"))


def test_with_markers_only_marked_files_count(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "b.csv.ready", "sub/c.csv", "c.csv.ready", "sub/d.csv", "sub/d.csv.ready"):
        put(tmp_path / name, name)
    assert found(tmp_path, MARKED) == ["b.csv", "sub/d.csv"]
    assert found(tmp_path, MARKED.model_copy(update={"marker": ".done"})) == []
    put(tmp_path / "a.csv.done")
    assert found(tmp_path, MARKED.model_copy(update={"marker": ".done"})) == ["a.csv"]


def test_each_content_comes_once_and_a_known_one_not_again(tmp_path: Path) -> None:
    put(tmp_path / "a.csv", "same")
    put(tmp_path / "b.csv", "same")
    put(tmp_path / "c.csv", "other")
    assert found(tmp_path) == ["a.csv", "c.csv"]
    known = entry(landed(Folder(tmp_path), "a.csv", "observations"))
    assert found(tmp_path, ledger=(known,)) == ["c.csv"]


def test_what_was_refused_is_new_again_under_other_rules(tmp_path: Path) -> None:
    put(tmp_path / "a.csv")
    file = landed(Folder(tmp_path), "a.csv", "observations")
    assert found(tmp_path, ledger=(entry(file, verdict="rejected"),)) == []
    assert found(tmp_path, ledger=(entry(file, verdict="rejected", rules="others"),)) == ["a.csv"]


def test_a_file_of_a_known_path_size_and_time_is_not_read(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "one")
    known = entry(landed(Folder(tmp_path), "a.csv", "observations"))
    times = path.stat()
    path.write_text("two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert found(tmp_path, ledger=(known,)) == []
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert found(tmp_path, ledger=(known,)) == ["a.csv"]


def test_a_file_that_is_being_written_is_left_alone_and_told(tmp_path: Path) -> None:
    put(tmp_path / "done.csv", "done")
    told: list[str] = []
    with (tmp_path / "open.csv").open("w") as handle:
        handle.write("half")
        handle.flush()
        now = new_files(str(tmp_path), PLAIN, "observations", (), "rules", told.append)
    assert [one.path for one in now] == ["done.csv"]
    assert len(told) == 1
    assert "open.csv is still being written" in told[0]
    assert found(tmp_path) == ["done.csv", "open.csv"]


def test_a_remote_file_is_known_by_the_same_hash_as_a_local_one(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe({"/discover/a.csv": b"text", "/discover/b.csv": b"text", "/discover/_c.csv": b"-"})
    put(tmp_path / "a.csv", "text")
    place = open_landing("memory://discover")
    assert [one.path for one in candidates(place, PLAIN, pytest.fail)] == ["a.csv", "b.csv"]
    remote = new_files("memory://discover", PLAIN, "observations", (), "rules", pytest.fail)
    assert [(one.path, one.uri) for one in remote] == [("a.csv", "memory://discover/a.csv")]
    assert remote[0].sha256 == content_hash(Folder(tmp_path), "a.csv", "observations")
    assert new_files("memory://discover", PLAIN, "observations", (entry(remote[0]),), "rules", pytest.fail) == []
