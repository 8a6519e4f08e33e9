"""What a change costs beside a full run: `python -m benchmarks.rerun --rows 1000000`.

A pipeline is run whole, then again after one change each: nothing, a gate, the estimator, a batch of one per cent. Each
run is a process of its own, timed whole, imports included; a Prefect server runs, as on a team's machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.measure import run
from benchmarks.pipeline import frame, prepare_home


class Bench:
    """One home, in which one thing changes at a time."""

    def __init__(self, base: Path, rows: int, environment: dict[str, str]) -> None:
        self.base, self.rows, self.number = base, rows, 0
        self.environment = prepare_home(base, rows, environment)
        self.yaml = base / "configs" / "bench.yaml"

    def nothing(self) -> None:
        """Change nothing."""

    def gate(self) -> None:
        """Ask for another bound."""
        self._change(
            r"^evaluation: .*$",
            f"evaluation: {{primary: mae, bounds: [{{metric: mae, maximum: {100 + self.number}}}]}}",
        )

    def estimator(self) -> None:
        """Fit one tree more."""
        self._change(r"max_iter: \d+", f"max_iter: {100 + self.number}")

    def batch(self) -> None:
        """Let one per cent more rows land."""
        size = self.rows // 100
        target = self.base / "landing" / f"new-{self.number:03d}.parquet"
        draft = target.with_suffix(".part")
        frame(self.rows + self.number * size, size).to_parquet(draft, index=False)
        draft.replace(target)

    def _change(self, what: str, text: str) -> None:
        found, count = re.subn(what, text, self.yaml.read_text(encoding="utf-8"), flags=re.MULTILINE)
        if count != 1:
            raise RuntimeError(f"{what} is {count} times in the benchmark's YAML, expected once")
        self.yaml.write_text(found, encoding="utf-8")

    def measure(self) -> tuple[float, list[str]]:
        """Seconds of `perennial run`, and the stages that ran."""
        report = self.base / "report.json"
        script = f"import sys, perennial.cli.main; sys.stdout = open({str(report)!r}, 'w')"
        script += "; perennial.cli.main.main(['run', 'bench', '--json'])"
        cost = run([sys.executable, "-c", script], self.environment)
        told = json.loads(report.read_text(encoding="utf-8"))
        return cost.wall, [one["name"] for one in told["stages"] if one["state"] == "done"]


def measure(rows: int, repeat: int) -> None:
    """Print the table."""
    from perennial.ops.session import prefect_session
    from tasks.stores.settings import Settings, prepare

    with tempfile.TemporaryDirectory() as name:
        server = Settings(home=Path(name) / "server")
        prepare(server)
        with prefect_session(server):
            bench = Bench(Path(name) / "bench", rows, dict(os.environ))
            full, stages = bench.measure()
            print("| what changed | seconds | of the full run | stages that ran |\n| --- | ---: | ---: | --- |")
            print(f"| all: the first run of {rows:,} rows | {full:.1f} | 1 | {', '.join(stages)} |", flush=True)
            kinds: dict[str, Callable[[], None]] = {
                "nothing": bench.nothing,
                "a gate": bench.gate,
                "the estimator": bench.estimator,
                f"a batch of {rows // 100:,} rows": bench.batch,
            }
            for what, change in kinds.items():
                seconds = []
                for _ in range(repeat):
                    bench.number += 1
                    change()
                    took, stages = bench.measure()
                    seconds.append(took)
                middle = median(seconds)
                spread = f" ({min(seconds):.1f}–{max(seconds):.1f})" if repeat > 1 else ""
                print(
                    f"| {what} | {middle:.1f}{spread} | {middle / full:.2f} | {', '.join(stages) or '–'} |", flush=True
                )


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each change; the median is printed")
    options = parser.parse_args()
    measure(options.rows, options.repeat)


if __name__ == "__main__":
    main()
