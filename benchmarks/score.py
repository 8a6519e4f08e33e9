"""Scoring a file beside a plain script: `python -m benchmarks.score --rows 1000000 10000000`.

Both score the same file with the same model into Parquet. The plain script reads all of it with pandas, asks the model
once and writes. Perennial reads it by the contract, refuses what it does not hold, and goes piece by piece. A Prefect
server runs, as on a team's machine; imports count on both sides.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from benchmarks.measure import Cost, run
from benchmarks.pipeline import frame, prepare_home

_TRAINED_ON = 100_000
_PIECE = 500_000
_COLUMNS = [*(f"x{number}" for number in range(8)), "load", "wind", "kind", "place"]


def trained(base: Path, environment: dict[str, str]) -> tuple[dict[str, str], Path]:
    """A home with a champion, as an environment, and the champion's file."""
    mine = prepare_home(base, _TRAINED_ON, environment)
    subprocess.run(
        [sys.executable, "-m", "perennial.cli.main", "run", "bench"], env=mine, check=True, capture_output=True
    )
    asked = "from tasks.stores.registry.tracking import Tracking; from tasks.stores.settings import load_settings\n"
    asked += "print(Tracking(load_settings(), 'bench').asked(None).folder)"
    found = subprocess.run([sys.executable, "-c", asked], env=mine, check=True, capture_output=True, text=True)
    return mine, Path(found.stdout.splitlines()[-1]) / "model.skops"


def written(rows: int, path: Path) -> Path:
    """A file of generated rows without the target, written in pieces."""
    schema = pa.Table.from_pandas(frame(0, 1).drop(columns="y"), preserve_index=False).schema
    opened = pq.ParquetWriter(path, schema) if path.suffix == ".parquet" else pacsv.CSVWriter(path, schema)
    with opened as writer:
        for start in range(0, rows, _PIECE):
            made = frame(start, min(_PIECE, rows - start)).drop(columns="y")
            writer.write_table(pa.Table.from_pandas(made, schema, preserve_index=False))
    return path


def plain(source: Path, model: Path, output: Path) -> None:
    """The plain script: read all, predict all, write all."""
    import pandas as pd
    import skops.io as sio

    # By default pandas reads numbers of csv inexactly, here a third of them: other trees, other predictions.
    loaded = sio.load(model, trusted=sio.get_untrusted_types(file=model))
    read = pd.read_parquet(source) if source.suffix == ".parquet" else pd.read_csv(source, float_precision="round_trip")
    pd.DataFrame({"id": read["id"], "prediction": loaded.predict(read[_COLUMNS])}).to_parquet(output, index=False)


def measure(source: Path, model: Path, environment: dict[str, str]) -> tuple[Cost, Cost, Cost, float]:
    """Perennial into a file, into the lake, the plain script; and the greatest relative difference of predictions."""
    ours, theirs = source.with_name("ours.parquet"), source.with_name("theirs.parquet")
    command = [sys.executable, "-m", "perennial.cli.main", "score", "bench", "--input", str(source), "--json"]
    job = run([*command, "--output", str(ours)], environment)
    lake = run(command, environment)
    words = ["--plain", str(source), str(model), str(theirs)]
    script = run([sys.executable, "-m", "benchmarks.score", *words], environment)
    return job, lake, script, _difference(ours, theirs)


def _difference(ours: Path, theirs: Path) -> float:
    import numpy as np

    first, second = (pq.read_table(path, columns=["prediction"]).column(0).to_numpy() for path in (ours, theirs))
    return float((np.abs(first - second) / np.maximum(np.abs(second), 1e-300)).max())


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--formats", nargs="+", choices=["parquet", "csv"], default=["parquet", "csv"])
    parser.add_argument("--plain", type=Path, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        plain(*options.plain)
        return
    from perennial.ops.session import prefect_session
    from tasks.stores.settings import Settings, prepare

    with tempfile.TemporaryDirectory() as name:
        server = Settings(home=Path(name) / "server")
        prepare(server)
        with prefect_session(server):
            _table(options.rows, options.formats, Path(name))


def _table(sizes: list[int], formats: list[str], base: Path) -> None:
    environment, model = trained(base / "run", dict(os.environ))
    print("| rows | input | | s | rows/s | peak MiB | greatest relative difference |")
    print("| ---: | --- | --- | ---: | ---: | ---: | ---: |")
    for rows in sizes:
        for kind in formats:
            source = written(rows, base / f"input.{kind}")
            job, lake, script, difference = measure(source, model, environment)
            source.unlink()
            for who, cost in (("into Parquet", job), ("into the lake", lake), ("plain script", script)):
                told = f"{difference:.0e}" if cost is job else ""
                print(
                    f"| {rows:,} | {kind} | {who} | {cost.wall:.1f} | {rows / cost.wall:,.0f} | {cost.largest >> 20:,} "
                    f"| {told} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
