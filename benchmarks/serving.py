"""The service beside `mlflow models serve`, on the same model: `python -m benchmarks.serving`.

Single rows by wrk, over one connection and over 32, in turns, each server alone on the machine while it is measured;
then from the start of the process to its first answer, beside a process that only imports fastapi, scikit-learn, skops.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.served import PIPELINE, Load, free_port, lua, row, running, trained, wrk

_IMPORTS = "import fastapi, sklearn, skops.io"


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000, help="rows that the model is trained on")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load")
    parser.add_argument("--repeat", type=int, default=3, help="loads of each; the median is printed")
    parser.add_argument("--workers", type=int, default=1, help="processes of either server")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        environment = trained(base / "home", options.rows)
        bench = _Bench(base, environment, options.workers)
        _loads(bench, options.repeat, options.seconds)
        _starts(bench, options.repeat)


class _Bench:
    """The two servers on one model."""

    def __init__(self, base: Path, environment: dict[str, str], workers: int) -> None:
        self.base = base
        mine, theirs = free_port(), free_port()
        self.addresses = {"perennial": f"http://127.0.0.1:{mine}", "mlflow": f"http://127.0.0.1:{theirs}"}
        self.paths = {"perennial": f"/pipelines/{PIPELINE}/invocations", "mlflow": "/invocations"}
        serve = {"PERENNIAL_SERVE_PORT": str(mine), "PERENNIAL_SERVE_WORKERS": str(workers)}
        # Both as sparing with threads: rows are single.
        quiet = {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
        beside = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"  # MLflow starts uvicorn by its name
        self.environment = {**environment, **serve, **quiet, "PATH": beside}
        model = next((base / "home" / "home" / "models" / PIPELINE / "models").iterdir()) / "artifacts"
        self.commands = {
            "perennial": [sys.executable, "-m", "perennial.serving", PIPELINE],
            "mlflow": [
                *[sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(model)],
                *["--env-manager", "local", "--port", str(theirs), "--workers", str(workers)],
            ],
        }
        body = row()
        columns = {"perennial": list(body), "mlflow": [one for one in body if one != "id"]}
        self.scripts = {}
        for server, names in columns.items():
            cells = [self._cell(server, body[one]) for one in names]
            split = {"dataframe_split": {"columns": names, "data": [cells]}}
            self.scripts[server] = lua(base / f"{server}.lua", json.dumps(split).encode())

    @staticmethod
    def _cell(server: str, value: object) -> object:
        return value.removesuffix("Z") if server == "mlflow" and isinstance(value, str) else value

    def load(self, server: str, seconds: float) -> tuple[Load, Load]:
        """One connection and 32, after some warming up."""
        address = self.addresses[server]
        with running(self.commands[server], self.environment, address, self.base / f"{server}.log"):
            target, script = f"{address}{self.paths[server]}", self.scripts[server]
            wrk(target, script, 4, 2.0)
            return wrk(target, script, 1, seconds), wrk(target, script, 32, seconds)


def _loads(bench: _Bench, repeat: int, seconds: float) -> None:
    found: dict[str, list[tuple[Load, Load]]] = {"perennial": [], "mlflow": []}
    for _ in range(repeat):
        for server, loads in found.items():
            loads.append(bench.load(server, seconds))
    print(f"{'server':<10}  {'1 conn. p50 ms':>16}  {'p99':>6}  {'32 conn. req/s':>20}  {'p50 ms':>7}  {'p99':>7}")
    for server, loads in found.items():
        one, many = ([pair[place] for pair in loads] for place in (0, 1))
        print(
            f"{server:<10}  {_spread([x.p50 for x in one]):>16}  {median(x.p99 for x in one):>6.1f}  "
            f"{_spread([x.rate for x in many], 0):>20}  {median(x.p50 for x in many):>7.1f}  "
            f"{median(x.p99 for x in many):>7.1f}",
            flush=True,
        )
    rates = [mine[1].rate / theirs[1].rate for mine, theirs in zip(found["perennial"], found["mlflow"], strict=True)]
    middles = [mine[0].p50 / theirs[0].p50 for mine, theirs in zip(found["perennial"], found["mlflow"], strict=True)]
    print(f"requests a second at 32 connections, of mlflow's: {_spread(rates, 1)} (aim 5)")
    print(f"p50 at one connection, of mlflow's: {_spread(middles, 2)} (aim 1)", flush=True)


def _starts(bench: _Bench, repeat: int) -> None:
    """Cold starts in turns with the imports alone."""
    ratios, starts, imports = [], [], []
    for _ in range(max(5, repeat)):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", _IMPORTS], env=bench.environment, check=True)
        imports.append(time.perf_counter() - began)
        address = bench.addresses["perennial"]
        with running(bench.commands["perennial"], bench.environment, address, bench.base / "start.log") as seconds:
            starts.append(seconds)
        ratios.append(starts[-1] / imports[-1])
    print(f"from process to first answer: {_spread(starts)} s; the imports alone: {_spread(imports)} s")
    print(f"ratio: {_spread(ratios)} (aim 1.2)")


def _spread(values: list[float], digits: int = 2) -> str:
    low, high = min(values), max(values)
    return f"{median(values):.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


if __name__ == "__main__":
    main()
