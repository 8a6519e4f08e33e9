"""A program of its own: copies an Arrow or feather file, validating each batch.

Arrow's reader can crash the process on damaged bytes, so the copy runs in a process of its own. It imports nothing
of this project: `python arrow_copy.py SOURCE TARGET BYTES`.
"""

from __future__ import annotations

import os
import resource
import sys
import warnings
from collections.abc import Iterator

import pyarrow as pa

REJECTED, SYSTEM_ERROR, TOO_LARGE = 3, 4, 5
_ROWS = 1 << 17
_DATA_ERRORS = (pa.ArrowException, ValueError, LookupError, MemoryError, NotImplementedError, OverflowError, TypeError)


def main(source: str, target: str, max_bytes: int) -> int:
    """Copy; the exit code says whether it went well, and the output, where not, why.

    Args:
        source: The file.
        target: The copy, an Arrow file.
        max_bytes: The most bytes that it may have.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    resource.setrlimit(
        resource.RLIMIT_DATA, (memory, memory)
    )  # beyond it, MemoryError is raised instead of the process being killed
    try:
        return _copy(source, target, max_bytes)
    except OSError as error:
        sys.stdout.write(f"{error.errno}" if error.errno else str(error))
        return SYSTEM_ERROR if error.errno else REJECTED
    except _DATA_ERRORS as error:
        sys.stdout.write(str(error) or type(error).__name__)
        return REJECTED


def _copy(source: str, target: str, max_bytes: int) -> int:
    with pa.memory_map(source) as mapped:
        schema, batches = _open(mapped)
        with pa.OSFile(target, "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in batches:
                batch.validate(full=True)
                for start in range(0, batch.num_rows, _ROWS):
                    writer.write_batch(batch.slice(start, _ROWS))
                    if sink.tell() > max_bytes:
                        return TOO_LARGE
    return 0


def _open(mapped: pa.MemoryMappedFile) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    magic = mapped.read(8)
    mapped.seek(0)
    if magic.startswith(b"FEA1"):
        from pyarrow import feather

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the first version is old, that is known
            table = feather.read_table(mapped)
        return table.schema, iter(table.to_batches())
    if magic.startswith(b"ARROW1"):
        file = pa.ipc.open_file(mapped)
        return file.schema, (file.get_batch(index) for index in range(file.num_record_batches))
    stream = pa.ipc.open_stream(mapped)
    return stream.schema, iter(stream)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
