"""An ingest run of the corpus in a process of its own, which says how many files it took and how large it grew."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from flows.ingest import ingest
from tasks.progress import reporting
from tasks.records.report import StageRecord
from tests.support.corpus.alone import NOW


class Printed:
    """Shows all that a run tells on standard error."""

    def begin(self, stage: str) -> None:
        self.say(stage)

    def end(self, record: StageRecord) -> None:
        self.say(f"{record.name} {record.state} {record.note}")

    def say(self, text: str) -> None:
        print(text, file=sys.stderr)


def main() -> None:
    with reporting(Printed()):
        report = ingest("corpus", NOW)
    print(json.dumps({"files": len(report.batches), "mebibytes": peak_mebibytes()}))


def peak_mebibytes() -> int:
    """The most memory that this process held. getrusage would start at its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (kibibytes,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kibibytes) // 1024


if __name__ == "__main__":
    main()
