"""Kill ingestion at random moments, then count every row: `python -m benchmarks.crash --kills 100 --processes 3`.

Several processes at once take in one landing folder while files land: csv, jsonl, parquet and gzip, keys that meet
across files (keep_last, so rows are replaced), rows that are refused, files that can't be read, the same file under
another name. Now and then one of them mends what waits in quarantine and gives it back, or tends the lake. All the
while they are killed with -9: half of them by the clock, some time after they began a step that was drawn, the others
at the very moment a step begins, that is between two steps. At last one run takes in what is left.

The same files are taken in undisturbed, in another home. The observations must be equal, the ledgers' sums, too, and
each row of each file must stand in one place: it is in, or was replaced, is a duplicate, or is refused. Exit code 1
where anything differs.
"""

from __future__ import annotations

import argparse
import mmap
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks import accounts, crash_child, crash_files
from benchmarks.crash_child import LIVE, PHASES
from configs import load
from configs.schema import PipelineConfig
from tasks.stores.lake import Lake
from tasks.stores.settings import Settings, load_settings, prepare

_PATIENCE = 3.0
_LONGEST = 0.03
_PACE = 0.25


class Child:
    """A process that works, and the end that is meant for it.

    Args:
        config: The pipeline.
        seed: Of what it does.
        rng: Draws its end.
        errors: Folder that takes the traceback of one that ended with an error.
        extras: Whether it also gives rows back and tends the lake.
    """

    def __init__(
        self, config: PipelineConfig, seed: tuple[int, int], rng: np.random.Generator, errors: Path, *, extras: bool
    ) -> None:
        self._shared = mmap.mmap(-1, 3)
        self._target = PHASES.index(str(rng.choice(LIVE)))
        self._delay = float(rng.uniform(0.0, _LONGEST))
        self._at: float | None = None
        self.border = bool(rng.random() < 0.5)
        self._shared[1] = self._target if self.border else 0
        self._born = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            _work(config, memoryview(self._shared), seed, errors, extras=extras)

    @property
    def phase(self) -> str:
        """What it is at, or was at when it ended."""
        return PHASES[self._shared[0]]

    def due(self) -> bool:
        """Whether it is to be killed now. Where what was drawn does not come to pass, any live moment will do."""
        now = time.monotonic()
        if now - self._born > _PATIENCE:
            self.border, self._shared[1] = False, 0
            return self.phase in LIVE
        if self.border:
            return False
        if self._shared[0] != self._target:
            # The step was over sooner: the next time, sooner.
            self._delay, self._at = self._delay / (1 if self._at is None else 2), None
            return False
        self._at = self._at or now + self._delay
        return now >= self._at

    def kill(self) -> int:
        """Kill it; its exit code. It is stopped first, so that what it tells is what it was at."""
        os.kill(self.pid, signal.SIGSTOP)
        status = os.waitpid(self.pid, os.WUNTRACED)[1]
        if os.WIFSTOPPED(status):
            os.kill(self.pid, signal.SIGKILL)
            status = os.waitpid(self.pid, 0)[1]
        return os.waitstatus_to_exitcode(status)

    def died(self) -> int | None:
        """Its exit code if it has ended by itself; minus nine where it killed itself at the step drawn for it."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def end(self) -> int:
        """Ask it to end after its run; its exit code."""
        self._shared[1], self._shared[2] = 0, 1
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _work(config: PipelineConfig, shared: memoryview, seed: tuple[int, int], errors: Path, *, extras: bool) -> None:
    code = 1
    try:
        crash_child.live(config, shared, seed, extras=extras)
        code = 0
    except BaseException:
        (errors / f"{os.getpid()}.txt").write_text(traceback.format_exc())
    finally:
        os._exit(code)


class Landing:
    """Files that wait to land, and the folder that they land in."""

    def __init__(self, pool: Path, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._waiting = sorted(pool.iterdir())
        self._folder = folder
        self.files: list[Path] = []

    def land(self, count: int) -> None:
        """Let some files land, each in one move."""
        for file in self._waiting[:count]:
            draft = self._folder / f".{file.name}"
            shutil.copyfile(file, draft)
            draft.replace(self._folder / file.name)
            self.files.append(file)
        del self._waiting[:count]


class Toll:
    """How many were killed in which step, in the midst of it and as it began."""

    def __init__(self) -> None:
        self.within: Counter[str] = Counter()
        self.border: Counter[str] = Counter()
        self.failed: list[int] = []

    def count(self, phase: str, code: int, *, by_clock: bool) -> None:
        """Count one that ended, by its exit code and what it was at."""
        if code != -signal.SIGKILL:
            self.failed.append(code)
        else:
            (self.within if by_clock else self.border)[phase] += 1

    @property
    def live(self) -> int:
        """Those that were killed while they took files in."""
        return sum((self.within + self.border)[phase] for phase in LIVE)

    @property
    def steps(self) -> set[str]:
        """The steps that some were killed in."""
        return {phase for phase in LIVE if (self.within + self.border)[phase]}

    def table(self) -> str:
        """As a table."""
        lines = ["| step | killed in the midst | killed as it began |", "| --- | ---: | ---: |"]
        lines += [f"| {phase} | {self.within[phase]} | {self.border[phase]} |" for phase in PHASES]
        mine = [sum(counts[phase] for phase in LIVE) for counts in (self.within, self.border)]
        return "\n".join([*lines, f"| **while taking files in** | {mine[0]} | {mine[1]} |"])


def shake(
    config: PipelineConfig, landing: Landing, kills: int, processes: int, seed: int, errors: Path, *, extras: bool
) -> Toll:
    """Let processes work and kill them until so many were killed while they took files in."""
    rng, toll, born = np.random.default_rng(seed), Toll(), 0
    children: list[Child] = []
    landed = 0.0
    while toll.live < kills and not toll.failed:
        while len(children) < processes:
            born += 1
            children.append(Child(config, (seed, born), rng, errors, extras=extras))
        if time.monotonic() - landed > _PACE:
            landing.land(int(rng.integers(1, 4)))
            landed = time.monotonic()
        for child in tuple(children):
            code = child.died()
            by_clock = code is None and child.due()
            code = child.kill() if by_clock else code
            if code is not None:
                toll.count(child.phase, code, by_clock=by_clock)
                children.remove(child)
        time.sleep(0.0003)
    toll.failed += [code for child in children if (code := child.end())]
    return toll


def use(home: Path) -> None:
    """Make this home the one that is worked in."""
    os.environ.update({"PERENNIAL_HOME": str(home), "PERENNIAL_ACTOR": "crash"})
    prepare(load_settings())


def finish(config: PipelineConfig) -> None:
    """Take in what is left, mend all that waits in quarantine, and look once more."""
    settings = load_settings()
    crash_child.ingest(config, settings)
    crash_child.give_back(config, settings)
    crash_child.ingest(config, settings)


def compare(config: PipelineConfig, shaken: Path, calm: Path, landing: Landing) -> list[str]:
    """Bring the shaken home to the end, take the same files in undisturbed, and tell what differs."""
    found = []
    for home in (shaken, calm):
        use(home)
        if home is calm:
            folder = home / "landing" / crash_files.NAME
            folder.mkdir(parents=True)
            for file in landing.files:
                shutil.copyfile(file, folder / file.name)
        finish(config)
        settings = load_settings()
        ledger = Lake(settings, config).ledger()
        found.append((accounts.sums(ledger), accounts.observations(config, settings, crash_files.COLUMNS)))
        print(f"{home.name}: {found[-1][0]}; given back in {sum(map(accounts.given_back, ledger))} files", flush=True)
    told = [f"shaken: {one}" for one in accounts.faults(config, _settings(shaken))]
    told += [f"calm: {one}" for one in accounts.faults(config, _settings(calm))]
    if found[0][0] != found[1][0]:
        told.append("the ledgers' sums differ")
    if found[0][1] != found[1][1]:
        told.append(f"{len(set(found[0][1]) ^ set(found[1][1]))} observations differ")
    return told


def _settings(home: Path) -> Settings:
    use(home)
    return load_settings()


def make_files(folder: Path, count: int, seed: int) -> None:
    """Write the files that are to land, in a process of its own: this one is to stay fit for forking."""
    pid = os.fork()
    if pid == 0:
        for number in range(count):
            crash_files.write_file(folder, number, seed)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError(f"the files could not be written below {folder}")


def main() -> None:
    """Shake, print the toll, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="keep the homes in this folder, which must not be there")
    options = parser.parse_args()
    base = options.keep or Path(tempfile.mkdtemp(prefix="crash-"))
    try:
        ok = run(base, options.kills, options.processes, options.seed)
    finally:
        if options.keep is None:
            shutil.rmtree(base)
    sys.exit(0 if ok else 1)


def run(base: Path, kills: int, processes: int, seed: int) -> bool:
    """One whole round below a folder; whether all is well."""
    import great_expectations.validator.validator  # noqa: F401  # the children are to inherit it

    pool, errors, shaken = base / "files", base / "errors", base / "shaken"
    for folder in (pool, errors):
        folder.mkdir(parents=True)
    config = load.read(crash_files.write_config(base))
    make_files(pool, 60 + 6 * kills, seed)
    use(shaken)
    landing = Landing(pool, shaken / "landing" / crash_files.NAME)
    landing.land(8)
    started = time.monotonic()
    toll = shake(config, landing, kills, processes, seed, errors, extras=True)
    print(toll.table())
    print(
        f"{processes} processes at once, {toll.live} kills of them at work in {time.monotonic() - started:.0f} s, "
        f"{len(landing.files)} files landed meanwhile",
        flush=True,
    )
    told = [path.read_text() for path in errors.iterdir()] + compare(config, shaken, base / "calm", landing)
    for line in told[:40]:
        print(line)
    print("the same as undisturbed, to the row" if not told else f"{len(told)} faults")
    return not told


if __name__ == "__main__":
    main()
