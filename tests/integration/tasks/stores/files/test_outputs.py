"""Results in files: whole or not at all, and known again as what they were made from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import fsspec  # type: ignore[import-untyped]  # it ships no types
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import UsageError
from tasks.stores.files.outputs import Outputs, OutputSource, check
from tasks.stores.landing.addresses import Address, parse
from tasks.stores.settings import Settings, prepare

SHARED = Path("/dev", "shm")
TABLE = pa.table({"id": [1, 2, 3], "prediction": [0.1, 0.2, 0.3]})
MADE = OutputSource(pipeline="p", input="ab12", version=4, run_id="r", rules="x")
OTHERS = [MADE.model_copy(update=change) for change in ({"input": "cd"}, {"version": 5}, {"run_id": "s"})]


@pytest.fixture
def outputs(home: Path) -> Outputs:
    settings = Settings(home=home)
    prepare(settings)
    return Outputs(settings)


def put(outputs: Outputs, address: Address, folder: Path) -> int:
    folder.mkdir(exist_ok=True)
    return outputs.write(address, MADE, TABLE.schema, TABLE.to_batches(), folder)


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("where", ["local", "memory://outputs"])
def test_a_result_is_known_as_long_as_it_is_what_was_written(
    outputs: Outputs, tmp_path: Path, ending: str, where: str
) -> None:
    place = str(tmp_path / "new" / "folder") if where == "local" else where
    address = parse(f"{place}/out.{ending}", "output")
    assert not outputs.is_current(address, MADE)
    assert put(outputs, address, tmp_path / "work") == 3
    assert outputs.is_current(address, MADE)
    assert not any(outputs.is_current(address, other) for other in OTHERS)
    if address.path is not None:
        content = address.path.read_bytes()
        assert [one.name for one in address.path.parent.iterdir()] == [address.name]
        address.path.write_bytes(content[:-20])
        assert not outputs.is_current(address, MADE), "it was cut off since"
        address.path.unlink()
    else:
        fsspec.filesystem("memory").rm(f"/outputs/out.{ending}")
    assert not outputs.is_current(address, MADE)


def test_parquet_tells_what_it_was_made_from_wherever_it_is_taken(outputs: Outputs, tmp_path: Path) -> None:
    put(outputs, parse(str(tmp_path / "out.parquet"), "output"), tmp_path / "work")
    (tmp_path / "out.parquet").rename(tmp_path / "moved.parquet")
    assert outputs.is_current(parse(str(tmp_path / "moved.parquet"), "output"), MADE)
    told = pq.read_schema(tmp_path / "moved.parquet").metadata
    assert (told[b"perennial.input_sha256"], told[b"perennial.model_version"]) == (b"ab12", b"4")


def test_a_failure_on_the_way_leaves_what_was_there(outputs: Outputs, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("as before")
    (tmp_path / "work").mkdir()

    def breaking() -> Iterator[pa.RecordBatch]:
        yield from TABLE.to_batches()
        raise RuntimeError("the model broke")

    with pytest.raises(RuntimeError, match="the model broke"):
        outputs.write(parse(str(tmp_path / "out.csv"), "output"), MADE, TABLE.schema, breaking(), tmp_path / "work")
    assert (tmp_path / "out.csv").read_text() == "as before"
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.skipif(not os.access(SHARED, os.W_OK), reason="needs a second file system: /dev/shm")
def test_it_is_moved_to_another_file_system_in_one_move(outputs: Outputs, tmp_path: Path) -> None:
    other = SHARED / f"perennial-{os.getpid()}.parquet"
    if SHARED.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip(f"{SHARED} is no file system of its own")
    try:
        put(outputs, parse(str(other), "output"), tmp_path / "work")
        assert pq.read_table(other).to_pylist() == TABLE.to_pylist()
        assert list(other.parent.glob(f".{other.name}*")) == []
    finally:
        other.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("out.xlsx", "'.xlsx'"),
        ("https://host/out.csv", "read only"),
        ("folder.csv", "it is a folder"),
        ("file/below/out.csv", "is no folder"),
    ],
)
def test_what_can_not_be_written_is_told_before_any_work(tmp_path: Path, output: str, told: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=told):
        check(parse(output if "://" in output else str(tmp_path / output), "output"))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder.csv"]
