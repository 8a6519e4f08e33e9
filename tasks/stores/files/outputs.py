"""Results in files, local or remote: written whole or not at all, and known again as what they were made from."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tasks.errors import UsageError
from tasks.records.base import Record, digest
from tasks.stores.files import tabular
from tasks.stores.landing.addresses import Address
from tasks.stores.landing.folder import FileStat
from tasks.stores.settings import Settings
from tasks.stores.state.database import METADATA, connect

_SOURCE_DIGEST = b"perennial.made"
_outputs = sa.Table(
    "outputs",
    METADATA,
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("mtime_ns", sa.BigInteger, nullable=False),
    sa.Column("made", sa.String(64), nullable=False),
)


class OutputSource(Record):
    """What a file of predictions was made from.

    Attributes:
        input: SHA-256 of the file that was scored.
        version: The model's.
        run_id: The run that the model was trained in.
        rules: Digest of how files are read.
    """

    pipeline: str
    input: str
    version: int
    run_id: str
    rules: str

    @property
    def metadata(self) -> dict[bytes, bytes]:
        """What a Parquet file tells of it."""
        properties = {"pipeline": self.pipeline, "input_sha256": self.input, "model_version": str(self.version)}
        properties |= {"model_run": self.run_id}
        return {_SOURCE_DIGEST: digest(self.model_dump()).encode()} | {
            f"perennial.{name}".encode(): value.encode() for name, value in properties.items()
        }


def check(address: Address) -> None:
    """Refuse, before any work, a file that can't be written.

    Raises:
        UsageError: its ending is not known, its place takes no files, or is no folder that can be written to.
    """
    tabular.check(Path(address.name))
    path = address.path
    if path is None:
        if address.place.startswith(("http://", "https://")):
            raise UsageError(f"{address} can't be written: over http files are read only. Write to a path or s3://.")
        return
    existing = next(one for one in path.parents if one.exists())
    problem = "it is a folder" if path.is_dir() else "" if existing.is_dir() else f"{existing} is no folder"
    if not problem and not os.access(existing, os.W_OK):
        problem = f"nothing may be written into {existing}"
    if problem:
        raise UsageError(f"{path} can't be written: {problem}.")


class Outputs:
    """Files of results. What csv and jsonl files were made from is kept in the state's database, by size and time.

    Args:
        settings: Say where that is.
    """

    def __init__(self, settings: Settings) -> None:
        self._engine = connect(settings)

    def is_current(self, address: Address, source: OutputSource) -> bool:
        """Whether a file is there that was made from just this, and not changed since."""
        try:
            found = address.landing().stat(address.name)
        except FileNotFoundError:
            return False
        wanted = source.metadata[_SOURCE_DIGEST].decode()
        return (
            _parquet_source(address) if address.ending == ".parquet" else self._recorded_source(address, found)
        ) == wanted

    def write(
        self, address: Address, source: OutputSource, schema: pa.Schema, batches: Iterable[pa.RecordBatch], folder: Path
    ) -> int:
        """Write rows in the format that the address's ending says, in bounded memory and in one move; how many.

        Args:
            address: The file.
            source: What the rows are made from.
            schema: Theirs.
            batches: The rows.
            folder: Where the file is made, before it is moved.

        Raises:
            UsageError: it can't be written.
        """
        draft = folder / f"result{address.ending}"
        rows = tabular.write(draft, schema.with_metadata(source.metadata), batches)
        _put(draft, address)
        if address.ending != ".parquet":
            self._record_source(address, source.metadata[_SOURCE_DIGEST].decode())
        return rows

    def _recorded_source(self, address: Address, found: FileStat) -> str:
        wanted = (_outputs.c.address == str(address), _outputs.c.size == found.size)
        query = sa.select(_outputs.c.made).where(*wanted, _outputs.c.mtime_ns == found.mtime_ns)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none() or ""

    def _record_source(self, address: Address, source_digest: str) -> None:
        found = address.landing().stat(address.name)
        now = {"size": found.size, "mtime_ns": found.mtime_ns, "made": source_digest}
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        query = insert(_outputs).values(address=str(address), **now)
        with self._engine.begin() as connection:
            connection.execute(query.on_conflict_do_update(index_elements=["address"], set_=now))


def _parquet_source(address: Address) -> str:
    """What a Parquet file tells that it was made from; nothing where it is not ours."""
    import pyarrow.parquet as pq

    with address.landing().open(address.name) as handle:
        try:
            metadata = pq.read_schema(handle).metadata or {}
        except pa.ArrowException:
            return ""  # no Parquet: it is written anew
    return str(metadata.get(_SOURCE_DIGEST, b"").decode(errors="replace"))


def _put(draft: Path, address: Address) -> None:
    path = address.path
    try:
        if path is not None:
            _move(draft, path)
            return
        from tasks.stores.landing.remote import Remote  # fsspec is for those who need it

        Remote(address.place).put(address.name, draft)
    except OSError as error:
        raise UsageError(f"{address} can't be written: {error.strerror or error}.") from None


def _move(draft: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        draft.replace(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            shutil.copyfile(draft, beside)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
