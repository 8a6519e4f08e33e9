"""Make a small trained home with the code of one commit, and pack it: what later code must open.

    .venv/bin/python -m tests.support.build_home COMMIT NAME

writes tests/homes/NAME.tar.gz with the folders `home` and `configs`. It speaks to that commit by its command
line alone. Once made, a file is never made anew: it stands for the homes that people have.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tests.support.world import REGRESSION, ROOT, merged, trips, write

HOMES = ROOT / "tests" / "homes"
PLAIN, ASKED = "plain", "asked"
PIPELINES: Mapping[str, dict[str, Any]] = {
    PLAIN: {"evaluation": {"comparison": {"margin": 0.0}}},
    ASKED: {
        "approval": {"required": True},
        "rollout": {"over": "observations", "steps": [{"kind": "shadow", "requests": 1000}]},
    },
}
_LEFT_OUT = ("prefect", "docs", "state/locks", "state/processes", "state/runs", "state/prefect-server.log")


def build(commit: str, name: str) -> Path:
    """Make the home of a commit; its file."""
    with tempfile.TemporaryDirectory(prefix="perennial-home-") as text:
        base = Path(text)
        code = base / "code"
        _git("clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(code))
        _git("-C", str(code), "checkout", "--quiet", "--detach", commit)
        _git("-C", str(code), "remote", "remove", "origin")  # MLflow would note where the repository is
        _live(code, base / "home", base / "configs")
        _strip(base / "home")
        return _pack(base, HOMES / f"{name}.tar.gz")


def _live(code: Path, home: Path, configs: Path) -> None:
    """Two pipelines: one with a second version, drift, quarantine; one that asks a person and rolls out."""
    configs.mkdir()
    for name, changes in PIPELINES.items():
        document = merged({**deepcopy(REGRESSION), "name": name, "source": {"landing": name}}, changes)
        (configs / f"{name}.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    def land(name: str, file: str, content: pd.DataFrame | str) -> None:
        write(home / "landing" / name / file, content)

    def perennial(*words: str) -> None:
        _perennial(code, home, configs, words)

    land(PLAIN, "a.csv", trips(0, 200, seed=1))
    perennial("run", PLAIN, "--now", "2026-02-01")
    odd = trips(200, 120, seed=2, shift=2.0)
    odd.loc[3, "x1"] = 5000.0  # beyond its maximum: a row for quarantine
    land(PLAIN, "b.csv", odd)
    land(PLAIN, "broken.csv", "id,at\n1,never\n")
    perennial("run", PLAIN, "--now", "2026-02-02")
    perennial("rollback", PLAIN, "--reason", "as an example")
    perennial("score", PLAIN)

    land(ASKED, "a.csv", trips(0, 200, seed=1, weak=True))
    perennial("run", ASKED, "--now", "2026-02-01")
    perennial("approve", f"{ASKED}@1", "--reason", "as an example")
    land(ASKED, "b.csv", trips(200, 200, seed=2))
    perennial("run", ASKED)
    perennial("approve", f"{ASKED}@2", "--reason", "as an example")
    perennial("run", ASKED)


def _perennial(code: Path, home: Path, configs: Path, words: tuple[str, ...]) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PERENNIAL_"))}
    own = {
        "PYTHONPATH": str(code),
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_CONFIGS": str(configs),
        "PERENNIAL_ACTOR": "builder",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "perennial.cli.main", *words],
        cwd=code,
        env={**inherited, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"$ perennial {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    if done.returncode != 0:
        raise SystemExit(f"`perennial {' '.join(words)}` failed, see above")


def _strip(home: Path) -> None:
    """Take out what later code makes anew, and the holes in databases."""
    for path in (home / name for name in _LEFT_OUT):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    for path in (home / "state").glob("*.db"):
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _pack(base: Path, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(file, "wb", compresslevel=9) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("configs", "home"):
            archive.add(base / name, arcname=name, filter=_nobody)
    return file


def _nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _git(*words: str) -> None:
    subprocess.run(["git", *words], cwd=ROOT, check=True)  # noqa: S607  # the developer's git


if __name__ == "__main__":
    _commit, _name = sys.argv[1:]
    _file = build(_commit, _name)
    print(f"{_file.relative_to(ROOT)}: {_file.stat().st_size / 1e6:.2f} MB")
