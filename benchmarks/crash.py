"""Kill ingestion at random moments, then count every row: `python -m benchmarks.crash --kills 100 --processes 3`.

Several processes at once take in one landing folder while files land: csv, jsonl, parquet and gzip, keys that meet
across files (keep_last, so rows are replaced), rows that are refused, files that can't be read, the same file under
another name. Now and then one of them mends what waits in quarantine and gives it back, or tends the lake. All the
while they are killed with -9: some by the clock, some time after they began a step that was drawn, the others
at the very moment a step begins, that is between two steps. At last one run takes in what is left.

The same files are taken in undisturbed, in another home. The observations must be equal, the ledgers' sums, too, and
each row of each file must stand in one place: it is in, or was replaced, is a duplicate, or is refused. Exit code 1
where anything differs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import accounts, crash_child, crash_files
from benchmarks.crash_kill import Child, Toll
from configs import load
from configs.schema import PipelineConfig
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import Settings, load_settings, prepare

_PACE = 0.2
_FILES = 6  # for each kill


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
        behind = len(landing.files) < 8 + _FILES * (toll.live + 1)
        if behind and time.monotonic() - landed > _PACE:
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
    for child in children:
        child.ask()
    for child in children:
        code = child.end()
        if code:
            toll.count(child.phase, code, by_clock=False)
    return toll


def use(home: Path) -> None:
    """Make this home the one that is worked in."""
    os.environ.update({"PERENNIAL_HOME": str(home), "PERENNIAL_ACTOR": "crash"})
    prepare(load_settings())


def finish(config: PipelineConfig) -> None:
    """Take in what is left, fix all that waits in quarantine, and look once more."""
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
    make_files(pool, 60 + _FILES * kills, seed)
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
    told = [f"a process ended with {code}" for code in toll.failed] + [path.read_text() for path in errors.iterdir()]
    told += compare(config, shaken, base / "calm", landing)
    for line in told[:40]:
        print(line)
    print("the same as undisturbed, to the row" if not told else f"{len(told)} faults")
    return not told


if __name__ == "__main__":
    main()
