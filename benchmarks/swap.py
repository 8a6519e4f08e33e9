"""Promotions and rollbacks under constant load: `python -m benchmarks.swap --moves 100`.

Two versions of a model; every other move is a rollback to the older, every other a move back to the newer, both by what
`perennial rollback` does. Each answer's version is compared with who was champion: one that was not within the grace
before the request came counts as wrong. The 99th percentile is compared with the same load on the same service with
nothing moved, before and after.
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
from typing import NamedTuple

import numpy as np

from benchmarks.served import PIPELINE, free_port, row, running, trained

_GRACE = 2.0


class _Answer(NamedTuple):
    due: float
    done: float
    status: str
    version: str


class _Move(NamedTuple):
    at: float
    version: int


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rows", type=int, default=20_000, help="rows that the models are trained on")
    parser.add_argument("--pause", type=float, default=1.0, help="mean seconds between two moves")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        environment = trained(base / "home", options.rows)
        _second(base / "home" / "configs" / f"{PIPELINE}.yaml", environment)
        os.environ.update({key: value for key, value in environment.items() if key.startswith("PERENNIAL_")})
        port = free_port()
        serve = {"PERENNIAL_SERVE_PORT": str(port), "PERENNIAL_SERVE_GRACE_SECONDS": str(_GRACE)}
        (base / "body.json").write_text(json.dumps({"dataframe_records": [row()]}))
        address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "perennial.serving", PIPELINE]
        with running(command, {**environment, **serve}, address, base / "serving.log"):
            bench = _Bench(base, port, options.rate, options.connections)
            bench.load(lambda: time.sleep(3.0))  # to warm up
            seconds = options.moves * options.pause / 2
            before = bench.load(lambda: time.sleep(seconds))
            moves: list[_Move] = []
            moved = bench.load(lambda: moves.extend(_move(options.moves, options.pause)))
            after = bench.load(lambda: time.sleep(seconds))
            _tell(before, moved, after, moves)
        for line in (base / "serving.log").read_text().splitlines():
            if '"level":"info"' not in line:
                print(f"the service says: {line}")


def _second(yaml: Path, environment: dict[str, str]) -> None:
    """A second version, promoted by what promotes versions."""
    yaml.write_text(
        yaml.read_text()
        .replace("max_iter: 100", "max_iter: 120")
        .replace(
            "evaluation: {primary: mae}",
            "evaluation: {primary: mae, comparison: {mode: non_inferiority, margin: 1.0}}",
        )
    )
    script = "import perennial.cli.main; perennial.cli.main.main(['run', 'bench', '--json'])"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    if done.returncode or json.loads(done.stdout)["version"] != 2:
        raise RuntimeError(f"no second version came of it:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


class _Bench:
    """The load on one service."""

    def __init__(self, base: Path, port: int, rate: float, connections: int) -> None:
        self.base, self.port, self.rate, self.connections = base, port, rate, connections

    def load(self, meanwhile: object) -> list[_Answer]:
        """The answers of a load that goes on while something is done."""
        out = self.base / "answers.txt"
        words = ["127.0.0.1", str(self.port), f"/pipelines/{PIPELINE}/invocations", str(self.base / "body.json")]
        words += [str(self.rate), str(self.connections), str(out)]
        process = subprocess.Popen([sys.executable, "-m", "benchmarks.swap_load", *words])
        time.sleep(0.5)
        assert callable(meanwhile)
        meanwhile()
        time.sleep(0.5)
        process.terminate()
        if process.wait(60):
            raise RuntimeError("the load failed")
        lines = out.read_text().splitlines()
        return [
            _Answer(float(due), float(done), status, version) for due, done, status, version in map(str.split, lines)
        ]


def _move(number: int, pause: float) -> list[_Move]:
    """Move the champion to and fro; when the registry had each move.

    In a process of its own, behind the others where cores are few: who rolls a version back is seldom on the machine
    that serves.
    """
    words = [*["nice", "-n", "15"], sys.executable, "-m", "benchmarks.swap_moves", str(number), str(pause)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the moves failed:\n{done.stderr[-2000:]}")
    return [_Move(0.0, 2), *(_Move(at, version) for at, version in json.loads(done.stdout))]


def _tell(before: list[_Answer], moved: list[_Answer], after: list[_Answer], moves: list[_Move]) -> None:
    failed = [one for one in moved if one.status != "200"]
    wrong = [one for one in moved if one.status == "200" and not _live(one, moves)]
    quiet = (_p99(before) + _p99(after)) / 2
    versions = {version: sum(one.version == version for one in moved) for version in ("1", "2")}
    print(f"{'load':<22}  {'answers':>8}  {'failed':>6}  {'p50 ms':>7}  {'p99 ms':>7}")
    for name, answers in (("quiet, before", before), (f"{len(moves) - 1} moves", moved), ("quiet, after", after)):
        bad = sum(one.status != "200" for one in answers)
        print(f"{name:<22}  {len(answers):>8}  {bad:>6}  {_quantile(answers, 50):>7.1f}  {_p99(answers):>7.1f}")
    print(f"answers by version: {versions}; from one that was not live within {_GRACE:g} s: {len(wrong)} (aim 0)")
    print(f"failed: {len(failed)} (aim 0); p99 with moves of that without: {_p99(moved) / quiet:.2f} (aim 2)")
    print(f"from a move to the last answer of the version before: {_latest(moved, moves):.2f} s at most")


def _live(answer: _Answer, moves: list[_Move]) -> bool:
    """Whether the version that answered was champion at some time from the grace before the request to its answer."""
    for place, move in enumerate(moves):
        until = moves[place + 1].at if place + 1 < len(moves) else float("inf")
        if str(move.version) == answer.version and move.at <= answer.done and until >= answer.due - _GRACE:
            return True
    return False


def _latest(answers: list[_Answer], moves: list[_Move]) -> float:
    """The longest that a version answered requests that came after it had been replaced, seconds."""
    worst = 0.0
    for answer in answers:
        reign = max((place for place, move in enumerate(moves) if move.at <= answer.due), default=0)
        if str(moves[reign].version) != answer.version:
            worst = max(worst, answer.due - moves[reign].at)
    return worst


def _p99(answers: list[_Answer]) -> float:
    return _quantile(answers, 99)


def _quantile(answers: list[_Answer], share: float) -> float:
    return float(np.percentile([(one.done - one.due) * 1000 for one in answers], share))


if __name__ == "__main__":
    main()
