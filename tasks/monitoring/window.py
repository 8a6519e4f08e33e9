"""Which batches the champion is watched on, and what was found before."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow.compute as pc

from configs.schema import PipelineConfig
from tasks.records.data import BatchRecord
from tasks.records.model import ModelRef
from tasks.stores.lake.tables import Lake


def newest_batches(ledger: Sequence[BatchRecord], champion: ModelRef | None, most: int) -> list[BatchRecord]:
    """The newest accepted observation batches that the champion was not trained on, at most so many."""
    after = 0 if champion is None else champion.through_seq
    found = [one for one in ledger if one.verdict == "accepted" and one.feed == "observations" and one.seq > after]
    return found[-most:]


def scored_batches(lake: Lake, ledger: Sequence[BatchRecord], champion: ModelRef) -> list[BatchRecord]:
    """Accepted observation batches that the champion was not trained on and has scored."""
    found = newest_batches(ledger, champion, len(ledger))
    versions = lake.transactions("predictions", (one.batch for one in found))
    return [one for one in found if versions.get(one.batch) == champion.version]


def newest_evidence(config: PipelineConfig, ledger: Sequence[BatchRecord], scored: Sequence[BatchRecord]) -> int:
    """Sequence number of the newest batch that can tell anything of the champion's predictions; 0: none can."""
    if not scored:
        return 0
    labels = [one.seq for one in ledger if one.verdict == "accepted" and one.feed == "labels"]
    return max([scored[-1].seq, *(labels if config.labels is not None else [])])


def stored_records(lake: Lake, kind: str) -> list[str]:
    """Stored decisions of a kind, in JSON, oldest first."""
    rows = lake.read("decisions", ["at", "record"], where=pc.field("kind") == kind)
    return list(rows.sort_by("at").column("record").to_pylist())
