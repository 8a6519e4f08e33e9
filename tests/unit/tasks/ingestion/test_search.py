"""What is found in landing places: each content once and read once, markers heeded, what is being written left."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]  # it ships no types
import pytest

from configs.schema import PipelineConfig
from tasks.errors import UsageError
from tasks.ingestion.discover import content_hash, landed_file, locations, size_limit_error
from tasks.ingestion.download_cache import DownloadCache, download_path
from tasks.ingestion.search import Search
from tasks.records.data import BatchRecord, LandedFile, rules_digest
from tasks.stores.landing.folder import FileStat, Folder, open_landing
from tasks.stores.settings import Settings
from tasks.stores.state.contents import Contents
from tests.support.world import World

Ledger = tuple[BatchRecord, ...]


class Finder:
    """Searches of a pipeline's landing place, and what they told."""

    def __init__(self, world: World, **source: Any) -> None:
        (world.home / "state").mkdir(parents=True, exist_ok=True)
        self.config: PipelineConfig = world.pipeline("found", {"source": {"landing": "in", **source}})
        self.settings: Settings = world.settings
        self.folder = world.landing("in")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.told: list[str] = []

    def search(self, ledger: Ledger = ()) -> Search:
        (place,) = locations(self.config, self.settings)
        return Search(self.config, self.settings, place, ledger, self.told.append)

    def new(self, ledger: Ledger = (), **how: Any) -> list[str]:
        return [one.path for one in self.search(ledger).new_files(**how)]

    def waiting(self, ledger: Ledger = ()) -> list[str]:
        return [one.path for one in self.search(ledger).unprocessed()]

    def landed(self, path: str) -> LandedFile:
        return landed_file(Folder(self.folder), path, "observations")

    def entry(self, file: LandedFile, **changes: object) -> BatchRecord:
        known = {
            "seq": 1, "batch": file.sha256, "feed": file.feed, "path": file.path, "size": file.size,
            "mtime_ns": file.mtime_ns, "verdict": "accepted", "rules": rules_digest(self.config), "reasons": (),
            "rows": 1, "accepted": 1, "quarantined": 0, "event_time_min": None, "event_time_max": None,
            "ingested_at": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        return BatchRecord.model_validate({**known, **changes})


@pytest.fixture
def finder(world: World) -> Finder:
    return Finder(world)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose content was read, in order."""
    from tasks.ingestion import search

    found: list[str] = []
    real: Callable[..., str] = content_hash

    def noted(landing: Any, path: str, *rest: Any) -> str:
        found.append(path)
        return real(landing, path, *rest)

    monkeypatch.setattr(search, "content_hash", noted)
    return found


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_with_markers_only_marked_files_count(world: World) -> None:
    finder = Finder(world, ready="marker")
    for name in ("a.csv", "b.csv", "b.csv.ready", "sub/c.csv", "c.csv.ready", "sub/d.csv", "sub/d.csv.ready"):
        put(finder.folder / name, name)
    assert finder.new() == finder.waiting() == ["b.csv", "sub/d.csv"]
    other = Finder(world, ready="marker", marker=".done")
    assert other.new() == []
    put(other.folder / "a.csv.done")
    assert other.new() == ["a.csv"]


def test_each_content_comes_once_and_a_known_one_not_again(finder: Finder) -> None:
    put(finder.folder / "a.csv", "same")
    put(finder.folder / "c.csv", "other")
    assert finder.new() == finder.waiting() == ["a.csv", "c.csv"]
    known = finder.entry(finder.landed("a.csv"))
    assert finder.new((known,)) == finder.waiting((known,)) == ["c.csv"]
    assert finder.told == []


@pytest.mark.parametrize(("verdict", "became"), [("accepted", "was accepted"), ("rejected", "was rejected")])
def test_the_same_content_under_another_name_is_told_once_and_read_once(
    finder: Finder, reads: list[str], verdict: str, became: str
) -> None:
    put(finder.folder / "a.csv", "same")
    put(finder.folder / "b.csv", "same")
    known = finder.entry(finder.landed("a.csv"), verdict=verdict)
    reads.clear()
    for _ in range(3):
        assert finder.new((known,)) == []
        assert finder.waiting((known,)) == []
    assert reads == ["b.csv"]
    assert finder.told == [f"b.csv has the same content as a.csv, which {became}"]
    put(finder.folder / "b.csv", "changed")
    assert finder.new((known,)) == ["b.csv"]
    put(finder.folder / "a.csv", "changed, too")
    assert finder.new((known,)) == ["a.csv", "b.csv"]


def test_of_two_new_files_of_one_content_the_other_is_told_and_is_new_again_if_the_first_did_not_come_in(
    finder: Finder, reads: list[str]
) -> None:
    put(finder.folder / "a.csv", "same")
    put(finder.folder / "b.csv", "same")
    assert finder.new() == ["a.csv"]
    assert finder.told == ["b.csv has the same content as a.csv, which is ingested in this run"]
    assert finder.new() == ["a.csv"], "its run was killed"
    assert reads == ["a.csv", "b.csv", "a.csv"]
    assert len(finder.told) == 1
    (finder.folder / "a.csv").unlink()
    assert finder.new() == ["b.csv"]


def test_a_touched_file_is_read_once_more_and_not_told(finder: Finder, reads: list[str]) -> None:
    path = put(finder.folder / "a.csv")
    known = finder.entry(finder.landed("a.csv"))
    reads.clear()
    os.utime(path, ns=(5, 5))
    assert [finder.new((known,)) for _ in range(2)] == [[], []]
    assert (reads, finder.told, finder.waiting((known,))) == (["a.csv"], [], [])


def test_a_look_reads_what_may_have_come_before_once_and_leaves_the_telling_to_a_run(
    finder: Finder, reads: list[str]
) -> None:
    put(finder.folder / "a.csv", "same")
    known = finder.entry(finder.landed("a.csv"))
    reads.clear()
    for name, text in (("b.csv", "same"), ("c.csv", "of another size"), ("d.csv", "else")):
        put(finder.folder / name, text)
    assert finder.waiting((known,)) == ["c.csv", "d.csv"]
    assert reads == ["b.csv", "d.csv"]
    assert finder.told == []
    assert finder.new((known,)) == ["c.csv", "d.csv"]
    assert reads == ["b.csv", "d.csv", "c.csv", "d.csv"]
    assert finder.told == ["b.csv has the same content as a.csv, which was accepted"]


def test_what_was_refused_is_new_again_under_other_rules(finder: Finder) -> None:
    put(finder.folder / "a.csv")
    put(finder.folder / "b.csv")
    file = finder.landed("a.csv")
    refused, elsewhere = (finder.entry(file, verdict="rejected", **how) for how in ({}, {"rules": "others"}))
    assert finder.new((refused,)) == []
    assert finder.new((elsewhere,)) == ["a.csv"]


def test_a_file_of_a_known_path_size_and_time_is_not_read(finder: Finder) -> None:
    path = put(finder.folder / "a.csv", "one")
    known = finder.entry(finder.landed("a.csv"))
    times = path.stat()
    path.write_text("two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert finder.new((known,)) == []
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert finder.new((known,)) == ["a.csv"]


def test_a_file_that_is_being_written_is_left_alone_and_told(finder: Finder) -> None:
    put(finder.folder / "done.csv", "done")
    with (finder.folder / "open.csv").open("w") as handle:
        handle.write("half")
        handle.flush()
        assert finder.new() == ["done.csv"]
        assert len(finder.told) == 1
        assert finder.waiting() == ["done.csv"]
    assert "open.csv is still being written" in finder.told[0]
    assert finder.new() == ["done.csv", "open.csv"]


@pytest.mark.parametrize("path", ["../in/a.csv", "/etc/passwd", "day/../a.csv", "a\n.csv", "./a.csv"])
def test_a_path_that_leads_elsewhere_is_refused(finder: Finder, path: str) -> None:
    put(finder.folder / "a.csv")
    with pytest.raises(UsageError, match=r"^Found .*; expected paths below .*/in, without '..'\.$") as caught:
        finder.new(only=["a.csv", path])
    assert str(caught.value).isprintable()
    assert finder.new(only=["a.csv", "b.csv"]) == ["a.csv"]


def test_refused_names_are_told_and_the_good_ones_come(finder: Finder, tmp_path: Path) -> None:
    put(finder.folder / "good.csv")
    put(finder.folder / "bad\nname.csv")
    put(tmp_path / "secret.csv")
    (finder.folder / "out.csv").symlink_to(tmp_path / "secret.csv")
    assert finder.new() == ["good.csv"]
    assert finder.told == [
        f"'{finder.folder}/bad\\nname.csv' is refused: a name with control characters.",
        f"{finder.folder}/out.csv is refused: a link that leads out of the landing folder.",
    ]


def test_a_local_file_too_large_keeps_its_content_for_identity(world: World) -> None:
    finder = Finder(world, limits={"file_bytes": 3})
    put(finder.folder / "a.csv", "four")
    put(finder.folder / "b.csv", "abc")
    large, small = finder.search().new_files()
    assert large.sha256 == content_hash(Folder(finder.folder), "a.csv", "observations")
    assert "4 bytes" in size_limit_error(large, finder.config.source)
    assert "source.limits.file_bytes" in size_limit_error(large, finder.config.source)
    assert size_limit_error(small, finder.config.source) == ""


# ------------------------------------------------------------------------------------------------ remote places
@pytest.fixture
def memory(request: pytest.FixtureRequest) -> Callable[[dict[str, bytes]], str]:
    """Puts files into a place of fsspec's memory; its address."""

    def make(files: dict[str, bytes]) -> str:
        place = f"/{request.node.name}"
        fsspec.filesystem("memory").pipe({f"{place}/{name}": content for name, content in files.items()})
        return f"memory:/{place}"

    return make


def test_a_remote_file_is_known_by_the_same_hash_as_a_local_one(
    world: World, memory: Callable[[dict[str, bytes]], str]
) -> None:
    address = memory({"a.csv": b"text", "b.csv": b"text", "_c.csv": b"-"})
    finder = Finder(world, landing=address)
    put(finder.folder / "a.csv", "text")
    assert finder.waiting() == ["a.csv", "b.csv"]
    (remote,) = finder.search().new_files()
    assert (remote.path, remote.uri) == ("a.csv", f"{address}/a.csv")
    assert remote.sha256 == finder.landed("a.csv").sha256
    assert finder.new((finder.entry(remote),)) == []


def test_a_remote_file_is_fetched_once_while_it_is_read_for_its_content(
    world: World, memory: Callable[[dict[str, bytes]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = memory({"day.csv.gz": b"one", "same.csv": b"one", "two.csv": b"two"})
    finder = Finder(world, landing=address)
    first, second = finder.search().new_files(drafts=DownloadCache(finder.settings, "found"))
    drafts = [download_path(finder.settings, "found", one) for one in (first, second)]
    assert [one.read_bytes() for one in drafts] == [b"one", b"two"]
    assert drafts[0].name.endswith(".landed.csv.gz")
    assert sorted(finder.settings.state.joinpath("staging").iterdir()) == sorted(drafts), "and nothing else"
    fsspec.filesystem("memory").rm(address.removeprefix("memory:/"), recursive=True)
    with open_landing(address).local("day.csv.gz", drafts[0]) as local:
        assert local.read_bytes() == b"one"
    assert not drafts[0].exists()


def test_without_room_a_remote_file_is_only_read_for_its_content(
    world: World, memory: Callable[[dict[str, bytes]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.ingestion.download_cache._MAX_BYTES", 7)
    finder = Finder(world, landing=memory({"a.csv": b"one", "b.csv": b"one", "c.csv": b"three"}))
    first, third = finder.search().new_files(drafts=DownloadCache(finder.settings, "found"))
    assert download_path(finder.settings, "found", first).read_bytes() == b"one"
    assert not download_path(finder.settings, "found", third).exists()


def test_a_remote_file_too_large_is_not_fetched(
    world: World, memory: Callable[[dict[str, bytes]], str], reads: list[str]
) -> None:
    finder = Finder(world, landing=memory({"a.csv": b"four", "b.csv": b"abc"}), limits={"file_bytes": 3})
    large, small = finder.search().new_files(drafts=DownloadCache(finder.settings, "found"))
    assert reads == ["b.csv"]
    assert "4 bytes" in size_limit_error(large, finder.config.source)
    assert finder.search().new_files()[0] == large, "known by its place and stamp"
    assert finder.new((finder.entry(large, verdict="rejected"), finder.entry(small))) == []


def test_what_quarantine_gave_back_is_found_like_what_landed(finder: Finder) -> None:
    put(finder.folder / "a.csv")
    put(finder.settings.state / "readmitted" / "found" / "observations" / "7.jsonl", "{}")
    found = [
        (file.path, file.origin)
        for place in locations(finder.config, finder.settings)
        for file in Search(finder.config, finder.settings, place, ()).new_files()
    ]
    assert found == [("a.csv", "landing"), ("7.jsonl", "readmitted")]


def test_the_newest_look_at_a_path_is_what_is_remembered(finder: Finder) -> None:
    contents = Contents(finder.settings, "found", "observations")
    contents.record(FileStat("a.csv", 1, 2), "one", reported=True)
    contents.record(FileStat("a.csv", 1, 3), "two", reported=False)
    contents.record(FileStat("b.csv", 1 << 40, 1 << 62), "three", reported=True)
    assert contents.known() == {
        FileStat("a.csv", 1, 3): ("two", False),
        FileStat("b.csv", 1 << 40, 1 << 62): ("three", True),
    }
    assert Contents(finder.settings, "found", "labels").known() == {}
