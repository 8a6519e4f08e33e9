"""Ingestion beside its parts: `python -m benchmarks.ingest --rows 1000000 10000000`.

One csv file of 15 columns, a row in a thousand of it bad, is taken in three times, each by a process of its own:

- perennial: the flow `ingest`: hashed, read, cast, staged, 24 expectations, keys, quarantine, ledger, Delta.
- plain: pyarrow reads it, deltalake writes it. Nothing is looked at.
- GX: Great Expectations alone asks the same 24 expectations of the rows that pyarrow read, of a frame made of them.

Seconds are those of the work alone, without imports; memory is the process's peak.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

NUMBERS = tuple(f"x{number}" for number in range(8))
COUNTS = ("n0", "n1", "n2")
PLACES = ["north", "south", "east", "west"]
_STEP = 500_000
_CONFIG = """\
name: bench
description: Generated rows, to measure ingestion with.
owner: bench@perennial.invalid
task: regression
source: {landing: bench}
contract:
  key: [id]
  event_time: at
  target: x0
  columns:
    id: {type: string}
    at: {type: timestamp}
    kind: {type: string, allowed: [a, b, c]}
    place: {type: string, allowed: [north, south, east, west]}
COLUMNS
expectations:
  - {type: expect_column_values_to_match_regex, arguments: {column: id, regex: "^A[0-9]+$"}}
features: {numeric: [x1]}
split: {kind: time}
training: {estimator: sklearn.linear_model.Ridge}
evaluation: {primary: mae}
"""


def config() -> str:
    """The pipeline's YAML."""
    limited = [f"    {name}: {{type: number, minimum: -9, maximum: 9}}" for name in NUMBERS[:6]]
    free = [f"    {name}: {{type: number}}" for name in NUMBERS[6:]]
    whole = [f"    {name}: {{type: integer}}" for name in COUNTS]
    return _CONFIG.replace("COLUMNS", "\n".join([*limited, *free, *whole]))


def land(rows: int, path: Path) -> None:
    """Write the file; a row in a thousand has x0 = 99."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = None
    for start in range(0, rows, _STEP):
        table = _table(start, min(_STEP, rows - start))
        writer = writer or pacsv.CSVWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def _table(start: int, size: int) -> pa.Table:
    random = np.random.default_rng([11, start])
    number = np.arange(start, start + size)
    numbers = {name: np.round(random.normal(size=size), 4) for name in NUMBERS}
    numbers["x0"][number % 1000 == 0] = 99.0
    return pa.table(
        {
            "id": np.char.add("A", number.astype(str)),
            "at": (number * 1_000_000 + 1_700_000_000_000_000).astype("datetime64[us]"),
            "kind": random.choice(["a", "b", "c"], size),
            "place": random.choice(PLACES, size),
            **numbers,
            **{name: random.integers(0, 1000, size) for name in COUNTS},
        }
    )


class Spent:
    """Seconds spent in some functions, by a name each."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def watch(self, place: Any, function: str, name: Callable[..., str]) -> None:
        """Add up what a function takes, under the name that its arguments give."""
        original = getattr(place, function)

        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return original(*arguments, **named)
            finally:
                label = name(*arguments)
                self.seconds[label] = self.seconds.get(label, 0.0) + time.perf_counter() - started

        setattr(place, function, timed)


def perennial(rows: int) -> dict[str, float]:
    """Take the landed file in by the flow; rows are checked."""
    import great_expectations.validator.validator  # noqa: F401  # imports are no part of the work

    from flows.ingest import ingest
    from perennial.ops.session import prefect_session
    from tasks.ingestion import staging
    from tasks.stores.lake.tables import Lake
    from tasks.stores.settings import load_settings, prepare
    from tasks.validation import commit

    spent = Spent()
    spent.watch(staging, "stage", lambda *_: "read")
    spent.watch(commit, "decide_verdicts", lambda *_: "validate")
    # What is refused is made while it is written, and so are the rows that come in.
    spent.watch(Lake, "append_parts_once", lambda _, table, *__: "write" if table == "observations" else "validate")
    settings = load_settings()
    prepare(settings)
    with prefect_session(settings):
        started = time.perf_counter()
        report = ingest("bench")
        seconds = time.perf_counter() - started
    (batch,) = report.batches
    bad = -(-rows // 1000)
    assert (batch.accepted, batch.quarantined) == (rows - bad, bad), batch
    return {"seconds": seconds, **spent.seconds}


def plain(path: Path, lake: Path) -> dict[str, float]:
    """Read with pyarrow, write with deltalake."""
    from deltalake import write_deltalake

    started = time.perf_counter()
    table = pacsv.read_csv(path)
    moments = table.column("at").cast(pa.timestamp("us", tz="UTC"))
    write_deltalake(str(lake), table.set_column(1, "at", moments))
    return {"seconds": time.perf_counter() - started}


def gx(path: Path, folder: Path) -> dict[str, float]:
    """Ask Great Expectations alone, as its documentation does."""
    import great_expectations
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.registry import get_expectation_impl

    from configs import load
    from tasks.validation.contract import suite

    read = load.read(folder / "bench.yaml")
    table = pacsv.read_csv(path)
    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    definition = (
        context.data_sources.add_pandas("bench")
        .add_dataframe_asset("bench")
        .add_batch_definition_whole_dataframe("all")
    )
    asked = suite(read, "observations", read.expectations)
    built = [get_expectation_impl(one.type)(**one.arguments) for one in asked]
    started = time.perf_counter()
    batch = definition.get_batch({"dataframe": table.to_pandas()})
    report: Any = batch.validate(
        great_expectations.ExpectationSuite(name="bench", expectations=built), result_format="COMPLETE"
    )
    seconds = time.perf_counter() - started
    assert len(report.results) == len(asked)
    assert sum(not one.success for one in report.results) == 1
    return {"seconds": seconds}


def measure(rows: int, base: Path) -> dict[str, dict[str, float]]:
    """What each of the three took: seconds of the work, and the process's peak memory in MiB."""
    home, configs = base / "home", base / "configs"
    configs.mkdir(parents=True)
    (configs / "bench.yaml").write_text(config())
    path = home / "landing" / "bench" / "rows.csv"
    land(rows, path)
    environment = {**os.environ, "PERENNIAL_HOME": str(home), "PERENNIAL_CONFIGS": str(configs)}
    commands = {
        "perennial": ["perennial", str(rows)],
        "plain": ["plain", str(path), str(base / "lake")],
        "gx": ["gx", str(path), str(configs)],
    }
    return {name: _child(words, environment) for name, words in commands.items()}


def _child(words: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.ingest", "--only", *words]
    with tempfile.TemporaryFile() as told:
        child = subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE, stderr=told)
        output = child.stdout.read() if child.stdout else b""
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            told.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}:\n{told.read().decode()[-4000:]}")
    return {**json.loads(output.splitlines()[-1]), "peak": usage.ru_maxrss / 1024}


def _only(words: Sequence[str]) -> dict[str, float]:
    if words[0] == "perennial":
        return perennial(int(words[1]))
    first, second = Path(words[1]), Path(words[2])
    return plain(first, second) if words[0] == "plain" else gx(first, second)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--only", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(_only(options.only)))
        return
    print(
        "| rows | perennial, s | plain, s | ratio | of it: read | validate | write | GX alone, s | validate / GX "
        "| perennial, MiB | plain, MiB | GX, MiB |"
    )
    print("| ---: " * 12 + "|")
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(rows, Path(folder))
        mine, plain_, gx_ = found["perennial"], found["plain"], found["gx"]
        print(
            f"| {rows:,} | {mine['seconds']:.1f} | {plain_['seconds']:.1f} | {mine['seconds'] / plain_['seconds']:.2f} "
            f"| {mine['read']:.1f} | {mine['validate']:.1f} | {mine['write']:.1f} | {gx_['seconds']:.1f} "
            f"| {mine['validate'] / gx_['seconds']:.2f} | {mine['peak']:,.0f} | {plain_['peak']:,.0f} "
            f"| {gx_['peak']:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
