"""Does a pipeline's lake add up? Every row of every file that was taken in is accounted for, once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from configs.schema import PipelineConfig
from tasks.records.data import BatchRecord
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import Settings


class Sums(NamedTuple):
    """A ledger in numbers: those of files as they landed, which do not depend on the order they came in."""

    files: int
    rejected: int
    rows: int
    quarantined: int
    observations: int


def sums(ledger: Sequence[BatchRecord]) -> Sums:
    """The ledger's sums. What quarantine gave back counts in the observations only."""
    landed = [one for one in ledger if not given_back(one)]
    return Sums(
        len(landed),
        sum(one.verdict == "rejected" for one in landed),
        sum(one.rows for one in landed),
        sum(one.quarantined for one in landed),
        sum(one.accepted - one.superseded for one in ledger if one.verdict == "accepted"),
    )


def given_back(one: BatchRecord) -> bool:
    """Whether a batch is a file that quarantine gave back."""
    return one.path.startswith(("readmitted-", "repaired-", "of-"))


def faults(config: PipelineConfig, settings: Settings) -> list[str]:
    """What does not add up in a lake; nothing where all does."""
    lake = Lake(settings, config)
    return [*_ledger(lake), *_rows(lake), *_twice(lake), *_left(lake, settings)]


def _ledger(lake: Lake) -> Iterator[str]:
    ledger = lake.ledger()
    lines = Counter((one["batch"], one["rules"]) for one in lake.read("batches", ["batch", "rules"]).to_pylist())
    yield from (
        f"batch {batch[:12]} stands in the ledger {count} times" for (batch, _), count in lines.items() if count > 1
    )
    if len({one.seq for one in ledger}) != len(ledger):
        yield "two batches have one number"
    for one in ledger:
        if one.rows != one.accepted + one.quarantined + one.duplicates:
            yield f"{one.path}: {one.rows} rows, {one.accepted} + {one.quarantined} + {one.duplicates} told"
    if lake.orphans("observations", ledger):
        yield "rows are in of batches that the ledger does not know"
    found, told = lake.read("observations", ["_batch"]).num_rows, lake.dataset(ledger).rows
    if found != told:
        yield f"{found} observations, {told} told"


def _rows(lake: Lake) -> Iterator[str]:
    """Each row of an accepted file stands in one place: it is in, or was replaced, is a duplicate, or is refused."""
    there: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in lake.read("observations", ["_batch", "_row"]).to_pylist():
        there[row["_batch"]]["in"].append(row["_row"])
    for row in lake.read("duplicates", ["batch", "row", "kind"]).to_pylist():
        there[row["batch"]]["replaced" if row["kind"] == "superseded" else "lost"].append(row["row"])
    entries: Counter[str] = Counter()
    for row in lake.read("quarantine", ["batch", "row", "kind"]).to_pylist():
        if row["kind"] == "row":
            there[row["batch"]]["refused"].append(row["row"])
        else:
            entries[row["batch"]] += 1
    by = Counter(
        one["by"] for one in lake.read("duplicates", ["by", "kind"]).to_pylist() if one["kind"] == "superseded"
    )
    ledger = {one.batch: one for one in lake.ledger()}
    yield from (f"rows of {batch[:12]}, which the ledger does not know" for batch in there if batch not in ledger)
    for batch, one in ledger.items():
        places: dict[str, list[int]] = there[batch]
        if one.verdict == "rejected":
            if places or entries[batch] != (0 if given_back(one) else 1):
                yield f"{one.path}: refused, with {entries[batch]} entries and rows {_counts(places)}"
            continue
        told = {"refused": one.quarantined, "lost": one.duplicates, "in": one.accepted - len(places["replaced"])}
        every = sorted(number for numbers in places.values() for number in numbers)
        if every != list(range(1, one.rows + 1)) or any(len(places[name]) != count for name, count in told.items()):
            yield f"{one.path}: {one.rows} rows, told {told}, found {_counts(places)}"
        if by[batch] != one.superseded:
            yield f"{one.path}: took the place of {one.superseded} rows, {by[batch]} on record"


def _counts(places: dict[str, list[int]]) -> dict[str, int]:
    return {name: len(numbers) for name, numbers in places.items()}


def _twice(lake: Lake) -> Iterator[str]:
    unique: dict[Any, list[str]] = {
        "observations": ["_row_id"],
        "resolutions": ["batch", "row"],
        "expectations": ["batch", "number"],
    }
    for table, columns in unique.items():
        found = Counter(tuple(row.values()) for row in lake.read(table, columns).to_pylist())
        repeated = sum(count > 1 for count in found.values())
        if repeated:
            yield f"{table}: {repeated} of {len(found)} stand more than once"


def _left(lake: Lake, settings: Settings) -> Iterator[str]:
    names = [path.name for path in (settings.state / "staging").glob("*") if lake.pipeline in path.name]
    if names:
        yield f"left in staging: {', '.join(sorted(names))}"


def observations(config: PipelineConfig, settings: Settings, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """The observations' values, sorted."""
    rows = Lake(settings, config).read("observations", columns).to_pylist()
    return sorted(tuple(row[name] for name in columns) for row in rows)
