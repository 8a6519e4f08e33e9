"""The whole job beside a bare script: `python -m benchmarks.pipeline --rows 10000 1000000 10000000`.

Both read the same parquet files, check the same things and fit the same model. The job besides quarantines, writes a
lake that can be read at any version, logs model and lineage, evaluates five gates, checks that a clean process serves
the model, registers and promotes it, and leaves a page a stage in Prefect. A Prefect server runs, as on a
team's machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measure import Cost, run

_ROWS_PER_FILE = 1_000_000
_CONFIG = """\
name: bench
description: Generated rows, to measure the job with.
owner: bench@perennial.invalid
task: regression
source: {landing: LANDING, pattern: "*.parquet"}
contract:
  key: [id]
  event_time: at
  target: y
  columns:
    id: {type: integer}
    at: {type: timestamp}
NUMERIC
    load: {type: number, minimum: 0, maximum: 1}
    wind: {type: number, minimum: 0, maximum: 100}
    kind: {type: string, allowed: [a, b, c, d]}
    place: {type: string}
    "y": {type: number}
features:
  numeric: [x0, x1, x2, x3, x4, x5, x6, x7, load, wind]
  categorical: [kind, place]
  encoding: ordinal
split: {kind: time, holdout: 0.2}
training:
  estimator: sklearn.ensemble.HistGradientBoostingRegressor
  parameters: {max_iter: 100}
evaluation: {primary: mae}
"""


def land(rows: int, folder: Path) -> None:
    """Write generated rows, 14 columns, in files of at most a million."""
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, rows, _ROWS_PER_FILE)):
        frame(start, min(_ROWS_PER_FILE, rows - start)).to_parquet(folder / f"part-{number:03d}.parquet", index=False)


def frame(start: int, size: int) -> pd.DataFrame:
    """Generated rows, numbered from `start` on, a second apart."""
    rng = np.random.default_rng([7, start])
    ids = np.arange(start, start + size)
    data: dict[str, object] = {"id": ids, "at": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(ids, unit="s")}
    for column in range(8):
        data[f"x{column}"] = rng.normal(size=size)
    data |= {
        "load": rng.random(size),
        "wind": rng.random(size) * 100,
        "kind": rng.choice(["a", "b", "c", "d"], size),
        "place": np.char.add("p", rng.integers(0, 50, size).astype(str)),
    }
    made = pd.DataFrame(data)
    made["y"] = made["x0"] * made["x1"] + made["load"] * 3 + (made["kind"] == "a") + rng.normal(size=size)
    return made


def prepare_home(base: Path, rows: int, environment: dict[str, str]) -> dict[str, str]:
    """Land rows, write the pipeline's YAML and make MLflow's database, which is made once a home; the environment."""
    landing, configs = base / "landing", base / "configs"
    land(rows, landing)
    configs.mkdir()
    numeric = "\n".join(
        f"    x{number}: {{type: number, nullable: true, minimum: -1000000, maximum: 1000000}}" for number in range(8)
    )
    text = _CONFIG.replace("LANDING", str(landing)).replace("NUMERIC", numeric)
    (configs / "bench.yaml").write_text(text)
    mine = {**environment, "PERENNIAL_HOME": str(base / "home"), "PERENNIAL_CONFIGS": str(configs)}
    first = "from flows.context import *; from tasks.stores.registry.tracking import Tracking\n"
    first += "config, settings = open_pipeline('bench'); Tracking(settings, 'bench').champion()"
    subprocess.run([sys.executable, "-c", first], env=mine, check=True)
    return mine


def measure(rows: int, base: Path, environment: dict[str, str]) -> tuple[Cost, Cost, dict[str, float]]:
    """The job, the bare script, and the job's stages in seconds."""
    mine = prepare_home(base, rows, environment)
    bare = run([sys.executable, "-m", "benchmarks.bare", str(base / "landing"), str(base / "bare.skops")], environment)
    report = base / "report.json"
    script = "import sys; from perennial.cli.main import main; sys.stdout = open(sys.argv[1], 'w'); "
    script += "main(['run', 'bench', '--json'])"
    job = run([sys.executable, "-c", script, str(report)], mine)
    told = json.loads(report.read_text())
    if told["outcome"] != "promoted":
        raise RuntimeError(f"the job ended as {told['outcome']}: {told['reasons']}")
    return job, bare, {stage["name"]: stage["seconds"] for stage in told["stages"]}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--repeat", type=int, default=1, help="runs of each; the median by wall time is printed")
    options = parser.parse_args()
    from perennial.ops.session import prefect_session
    from tasks.stores.settings import Settings, prepare

    with tempfile.TemporaryDirectory() as name:
        server = Settings(home=Path(name) / "server")
        prepare(server)
        with prefect_session(server):
            _table(options.rows, options.repeat, Path(name))


def _table(sizes: list[int], repeat: int, base: Path) -> None:
    print(f"{'rows':>10}  {'job s':>7}  {'bare s':>7}  {'ratio':>6}  {'job MiB':>8}  {'bare MiB':>8}  stages, s")
    for rows in sizes:
        found = []
        for _ in range(repeat):
            folder = base / "run"
            found.append(measure(rows, folder, dict(os.environ)))
            shutil.rmtree(folder)
        job, bare, stages = sorted(found, key=lambda one: one[0].wall / one[1].wall)[len(found) // 2]
        spent = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in stages.items())
        start = job.wall - sum(stages.values())
        print(
            f"{rows:>10}  {job.wall:>7.1f}  {bare.wall:>7.1f}  {job.wall / bare.wall:>6.2f}  {job.peak >> 20:>8}  "
            f"{bare.peak >> 20:>8}  start and end {start:.1f}, {spent}",
            flush=True,
        )


if __name__ == "__main__":
    main()
