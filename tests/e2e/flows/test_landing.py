"""Ingest from landing places: remote ones and file URLs, markers, a place that is away."""

from __future__ import annotations

import gzip
import logging
from io import BytesIO

import fsspec  # type: ignore[import-untyped]  # it ships no types
import pytest

from tasks.errors import UsageError
from tasks.progress import reporting
from tasks.records.report import StageRecord
from tests.support.command import Cli
from tests.support.s3 import s3
from tests.support.world import World, trips

ROWS = trips(0, 20, seed=1)
CSV = ROWS.to_csv(index=False).encode()


def ingest(name: str) -> list[tuple[str, str, int]]:
    """Path, verdict and accepted rows of what one run takes in."""
    from tests.support.direct import ingest as flow

    return [(one.path, one.verdict, one.accepted) for one in flow(name).batches]


@pytest.fixture
def memory(module_world: World) -> fsspec.AbstractFileSystem:
    return fsspec.filesystem("memory")


def test_remote_files_come_in_once_each_and_leave_nothing_behind(
    module_world: World, memory: fsspec.AbstractFileSystem
) -> None:
    place = "/ingest/far"
    module_world.pipeline("far", {"source": {"landing": f"memory:/{place}"}})
    memory.pipe({f"{place}/day/a.csv": CSV, f"{place}/broken.parquet": b"no parquet", f"{place}/_draft.csv": CSV})
    assert ingest("far") == [("broken.parquet", "rejected", 0), ("day/a.csv", "accepted", 20)]
    assert ingest("far") == []
    frame = trips(20, 5, seed=2).to_csv(index=False, sep="\t").encode()
    memory.pipe_file(f"{place}/b.tsv", frame)
    assert ingest("far") == [("b.tsv", "accepted", 5)]
    assert len(module_world.row_ids("far")) == 25
    assert list((module_world.settings.state / "staging").glob("far-*.landed*")) == []


def test_labels_may_land_in_another_kind_of_place(module_world: World, memory: fsspec.AbstractFileSystem) -> None:
    folder = module_world.home / "elsewhere"
    labels = {"landing": "memory://ingest/labels"}
    module_world.pipeline("apart", {"source": {"landing": f"file://{folder}"}, "labels": labels})
    module_world.land(str(folder), "x.parquet", ROWS.drop(columns="y"))
    memory.pipe_file("/ingest/labels/y.csv", ROWS[["id", "y"]].to_csv(index=False).encode())
    assert ingest("apart") == [("x.parquet", "accepted", 20), ("y.csv", "accepted", 20)]


def test_a_run_by_hand_heeds_markers(module_world: World) -> None:
    module_world.pipeline("marked", {"source": {"ready": "marker"}})
    module_world.land("marked", "a.csv", ROWS)
    assert ingest("marked") == []
    (module_world.landing("marked") / "a.csv.ready").touch()
    assert ingest("marked") == [("a.csv", "accepted", 20)]
    assert ingest("marked") == []


def test_a_place_that_can_not_be_had_is_told_in_a_line(module_world: World, cli: Cli) -> None:
    module_world.pipeline("away", {"source": {"landing": "gs://bucket/away"}})  # its library is not installed
    said = cli("run", "away")
    assert said.code == 2
    assert "gs://bucket/away needs a library that is not installed" in said.err
    assert "Traceback" not in said.err


def test_a_bucket_s_files_come_in_once_each_and_are_fetched_once(
    module_world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    parquet = BytesIO()
    trips(20, 10, seed=2).to_parquet(parquet, index=False)
    module_world.pipeline("s3", {"source": {"landing": "s3://bucket/in"}})
    with s3(monkeypatch) as resource:
        bucket = resource.create_bucket(Bucket="bucket")
        bucket.put_object(Key="in/day/a.csv.gz", Body=gzip.compress(CSV))
        bucket.put_object(Key="in/b.parquet", Body=parquet.getvalue())
        bucket.put_object(Key="in/copy.parquet", Body=parquet.getvalue())
        with caplog.at_level(logging.INFO, logger="werkzeug"):
            assert sorted(ingest("s3")) == [("b.parquet", "accepted", 10), ("day/a.csv.gz", "accepted", 20)]
        fetched = [f"GET /bucket/in/{name} " in caplog.text for name in ("day/a.csv.gz", "b.parquet", "copy.parquet")]
        assert fetched == [True] * 3
        assert caplog.text.count("GET /bucket/in/") == 3
        caplog.clear()
        assert ingest("s3") == []
        assert "GET /bucket/in/" not in caplog.text, "what is known is not fetched"
        changed = gzip.compress(trips(30, 5, seed=3).to_csv(index=False).encode())
        bucket.put_object(Key="in/day/a.csv.gz", Body=changed)
        assert ingest("s3") == [("day/a.csv.gz", "accepted", 5)]
    assert len(module_world.row_ids("s3")) == 35
    assert list((module_world.settings.state / "staging").glob("s3-*")) == []


@pytest.mark.parametrize("place", ["large", "memory://ingest/large"])
def test_a_file_too_large_is_refused_with_a_verdict_and_stops_no_other(
    module_world: World, memory: fsspec.AbstractFileSystem, place: str
) -> None:
    name = f"large{len(place)}"
    limit = {"file_bytes": len(CSV)}
    module_world.pipeline(name, {"source": {"landing": place, "limits": limit}})
    files = {"ok.csv": CSV, "large.csv": CSV + b"\n" * 10}
    memory.pipe({f"/ingest/large/{path}": content for path, content in files.items()})
    for path, content in files.items():
        module_world.land("large", path, content)
    assert sorted(ingest(name)) == [("large.csv", "rejected", 0), ("ok.csv", "accepted", 20)]
    assert ingest(name) == []
    (reason,) = module_world.ledger(name)["large.csv"].reasons
    assert f"it has {len(CSV) + 10} bytes; at most {len(CSV)} are accepted" in reason
    assert "source.limits.file_bytes" in reason


class Heard:
    """What a run says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begin(self, stage: str) -> None:
        """Not wanted."""

    def end(self, record: StageRecord) -> None:
        """Not wanted."""

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_what_is_refused_or_known_is_told_and_the_rest_comes_in(module_world: World) -> None:
    module_world.pipeline("told")
    landed = module_world.land("told", "a.csv", ROWS)
    (landed.parent / "b.csv").write_bytes(landed.read_bytes())
    (landed.parent / "out.csv").symlink_to(module_world.configs / "told.yaml")
    (landed.parent / "bell\a.csv").touch()
    heard = Heard()
    with reporting(heard):
        assert ingest("told") == [("a.csv", "accepted", 20)]
    out = f"{landed.parent}/out.csv is refused: a link that leads out of the landing folder."
    bell = f"'{landed.parent}/bell\\x07.csv' is refused: a name with control characters."
    twin = "b.csv has the same content as a.csv, which is ingested in this run"
    assert sorted(heard.lines[:3]) == sorted([bell, twin, out])
    module_world.land("told", "c.csv", trips(20, 5, seed=2))
    heard.lines.clear()
    with reporting(heard):
        assert ingest("told") == [("c.csv", "accepted", 5)]
    assert sorted(heard.lines[:2]) == sorted([bell, out])
    assert twin not in heard.lines


def test_paths_that_lead_out_of_the_landing_folder_are_no_paths(module_world: World) -> None:
    from tests.support.direct import ingest as flow

    module_world.pipeline("only")
    for path in ("../told/a.csv", "/etc/passwd"):
        with pytest.raises(UsageError, match="expected paths below"):
            flow("only", only=(path,))
