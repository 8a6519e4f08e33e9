"""Runs at once on an empty home, again and again: `python -m benchmarks.first_runs --repeat 20`.

Each repetition has a home of its own, in which files have landed and nothing else is. All runs start at the same moment
and so make Prefect's, MLflow's and the state's database, the lake's tables and the first model at once. Each run must
end with 0, each row come in once, and each pipeline have one version, its champion. With `--kill` one of the runs gets
SIGKILL at a drawn moment, and one more run follows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from benchmarks import accounts
from configs import load
from configs.schema import PipelineConfig
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import Settings
from tasks.stores.state.audit import Audit
from tasks.stores.state.candidates import evaluated

_FILES, _ROWS = 4, 60
_LATEST_KILL = 25.0
_CONFIG = """\
name: NAME
description: Generated rows, for runs that are the first of a home.
owner: bench@perennial.invalid
task: regression
source: {landing: NAME}
contract:
  key: [id]
  target: y
  columns:
    id: {type: integer}
    x: {type: number}
    "y": {type: number}
features: {numeric: [x]}
split: {kind: random, holdout: 0.3}
training: {estimator: sklearn.linear_model.Ridge}
evaluation: {primary: mae, comparison: {resamples: 100, min_rows: 30}}
compliance: {min_training_rows: 50}
"""


class Repetition(NamedTuple):
    """What runs at once on one empty home came to.

    Attributes:
        seconds: Until the last of them had ended.
        outcomes: How often each outcome was.
        failures: Of runs that ended with another code than 0: the code and the end of standard error.
        faults: What is wrong in the home afterwards: rows lost or doubled, versions too many.
    """

    seconds: float
    outcomes: Counter[str]
    failures: tuple[str, ...]
    faults: tuple[str, ...]


def repeat(base: Path, runs: int, pipelines: int, kill_after: float | None = None) -> Repetition:
    """Start runs at once on an empty home, wait for all, and look at what they left.

    Args:
        base: An empty folder.
        runs: How many; they are dealt to the pipelines in turn.
        pipelines: How many pipelines the home has.
        kill_after: Seconds after which the first run gets SIGKILL; another run of its pipeline follows in the end.
    """
    settings = Settings(home=base / "home")
    configs = [_write_pipeline(base, f"first_{number}") for number in range(pipelines)]
    started = time.perf_counter()
    processes = [_start(base, configs[number % pipelines].name) for number in range(runs)]
    if kill_after is not None:
        try:
            processes[0].wait(kill_after)
        except subprocess.TimeoutExpired:
            processes[0].kill()
    ended = [(process, *process.communicate()) for process in processes]
    seconds = time.perf_counter() - started
    if kill_after is not None:
        last = _start(base, configs[0].name)
        ended = [*ended[1:], (last, *last.communicate())]
    return Repetition(
        seconds=seconds,
        outcomes=Counter(json.loads(out)["outcome"] for process, out, _ in ended if process.returncode == 0),
        failures=tuple(f"exit {one.returncode}: {err[-2000:]}" for one, _, err in ended if one.returncode != 0),
        faults=tuple(fault for config in configs for fault in _faults(config, settings)),
    )


def _write_pipeline(base: Path, name: str) -> PipelineConfig:
    """Write a pipeline's YAML, and land its files."""
    path = base / "configs" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(_CONFIG.replace("NAME", name), encoding="utf-8")
    landing = base / "home" / "landing" / name
    landing.mkdir(parents=True)
    rng = np.random.default_rng(7)
    for number in range(_FILES):
        values = rng.normal(size=_ROWS)
        lines = [f"{number * _ROWS + row},{x:.6f},{3 * x + 1:.6f}" for row, x in enumerate(values)]
        (landing / f"{number}.csv").write_text("\n".join(["id,x,y", *lines, ""]), encoding="utf-8")
    return load.read(path)


def _start(base: Path, name: str) -> subprocess.Popen[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "PERENNIAL_"))}
    own = {"PERENNIAL_HOME": str(base / "home"), "PERENNIAL_CONFIGS": str(base / "configs"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "perennial.cli.main", "run", name, "--json"],
        env={**kept, **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _faults(config: PipelineConfig, settings: Settings) -> Iterator[str]:
    """What is wrong in a home after its first runs."""
    yield from (f"{config.name}: {fault}" for fault in accounts.faults(config, settings))
    lake, audit = Lake(settings, config), Audit(settings)
    ids = sorted(lake.read("observations", ["id"]).column("id").to_pylist())
    if ids != list(range(_FILES * _ROWS)):
        yield f"{config.name}: found {len(ids)} rows of {len(set(ids))} keys, expected {_FILES * _ROWS} of as many"
    versions, champion = [version for *_, version in evaluated(audit, config.name)], audit.champion(config.name)
    if versions != [1] or champion != 1:
        yield f"{config.name}: found versions {versions}, champion {champion}; expected version 1 alone, as champion"


def _print(found: Sequence[Repetition], runs: int, pipelines: int) -> None:
    seconds = sorted(one.seconds for one in found)
    outcomes = sum((one.outcomes for one in found), Counter[str]())
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print("| runs at once | pipelines | repetitions | runs failed | homes not right | outcomes | seconds |")
    print("| ---: | ---: | ---: | ---: | ---: | --- | ---: |")
    print(
        f"| {runs} | {pipelines} | {len(found)} | {sum(len(one.failures) for one in found)} "
        f"| {sum(bool(one.faults) for one in found)} | {told} "
        f"| {median(seconds):.0f} ({seconds[0]:.0f}–{seconds[-1]:.0f}) |"
    )


def main() -> int:
    """Repeat, print the table; 1 where a run failed or a home is not right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--runs", type=int, default=8, help="runs at once")
    parser.add_argument("--pipelines", type=int, default=1, help="pipelines that the runs are dealt to")
    parser.add_argument("--kill", action="store_true", help="one run of each repetition gets SIGKILL")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    options = parser.parse_args()
    moments = random.Random(options.seed)  # noqa: S311  # no secret
    found = []
    for number in range(options.repeat):
        with tempfile.TemporaryDirectory() as folder:
            after = moments.uniform(0, _LATEST_KILL) if options.kill else None
            found.append(repeat(Path(folder), options.runs, options.pipelines, after))
        one = found[-1]
        killed = "" if after is None else f", one killed after {after:.1f} s"
        sys.stderr.write(f"{number + 1}: {one.seconds:.0f} s{killed}, {dict(one.outcomes)}\n")
        sys.stderr.writelines(f"  {problem}\n" for problem in (*one.failures, *one.faults))
    _print(found, options.runs, options.pipelines)
    return int(any(one.failures or one.faults for one in found))


if __name__ == "__main__":
    sys.exit(main())
