"""What a stage was given, what came of it, and what its tables and files look like: records for its events."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from tasks.records.base import Record
from tasks.records.data import BatchRecord, DatasetRef, ExpectationResult, IngestReport, LandedFile, TrainingSetRef
from tasks.records.decision import Promotion, Verdict
from tasks.records.model import ModelRef


class StageData(Record):
    """What a stage was given and what it made; what is not there yet is left out.

    Attributes:
        files, batches: Landed files, and what became of them.
        dataset, training_set: The data.
        model, champion: The candidate, and the model that it is compared with.
        promotion: What became of the candidate.
    """

    files: tuple[LandedFile, ...] = ()
    batches: tuple[BatchRecord, ...] = ()
    dataset: DatasetRef | None = None
    training_set: TrainingSetRef | None = None
    model: ModelRef | None = None
    champion: ModelRef | None = None
    verdict: Verdict | None = None
    promotion: Promotion | None = None

    def with_output(self, output: Record) -> StageData:
        """This, and a record that the stage made."""
        return self.model_copy(update=_fields(output))


def _fields(output: Record) -> dict[str, object]:
    match output:
        case IngestReport():
            return {"batches": output.batches}
        case TrainingSetRef():
            return {"training_set": output}
        case ModelRef():
            return {"model": output}
        case Verdict():
            return {"verdict": output}
        case Promotion():
            return {"promotion": output}
    raise TypeError(f"no stage makes a {type(output).__name__}")


class TableState(Record):
    """A table of the lake at one version, as its log tells.

    Attributes:
        rows: None where the log does not tell.
        files: Bytes of each data file, by its path in the table.
        nulls: Missing values of each column for which the log tells.
    """

    version: int
    rows: int | None
    files: dict[str, int]
    nulls: dict[str, int]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())

    def written_since(self, before: TableState | None) -> int:
        """Bytes of the files that another state of the table does not have."""
        known: Mapping[str, int] = {} if before is None else before.files
        return sum(size for path, size in self.files.items() if path not in known)


class DataStatistics(Record):
    """What was seen of a stage's tables and files.

    Attributes:
        tables: Of the lake, by name.
        before: The same before the stage ran.
        sizes: Bytes of the training set's files, by name.
        expectations: What each expectation found, by batch.
    """

    tables: dict[str, TableState] = Field(default_factory=dict)
    before: dict[str, TableState] = Field(default_factory=dict)
    sizes: dict[str, int] = Field(default_factory=dict)
    expectations: dict[str, tuple[ExpectationResult, ...]] = Field(default_factory=dict)
