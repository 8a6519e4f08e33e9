"""Code and packages of a commit in a folder of their own, made as the commit's own Makefile makes them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.errors import PerennialError

_ANSWER_SECONDS = 20
_SETUP_SECONDS = 1800


class EnvironmentSetupError(PerennialError):
    """The environment of a commit can't be made."""


def has_commit(repository: Path, commit: str) -> bool:
    """Whether a repository has a commit."""
    return bool(commit) and _git(repository, "cat-file", "-e", f"{commit}^{{commit}}").returncode == 0


def create_environment(repository: Path, commit: str, base: Path, python: str) -> Path:
    """The folder of a commit's code with its packages in `.venv`, made unless it is there whole.

    Args:
        repository: The git repository that has the commit.
        commit: The commit.
        base: Where such folders are kept.
        python: Its version, such as 3.11: that one is taken where it is installed, else this process's own.

    Raises:
        NotMadeError: git or the Makefile failed.
    """
    folder = base / commit
    if not _is_clean_checkout(folder, commit):
        base.mkdir(parents=True, exist_ok=True)
        _git(repository, "worktree", "remove", "--force", str(folder))
        shutil.rmtree(folder, ignore_errors=True)  # what a killed run left
        _git(repository, "worktree", "prune")
        _check_success(
            _git(repository, "worktree", "add", "--detach", str(folder), commit), f"git worktree add {folder}"
        )
    found = shutil.which(f"python{python}") or sys.executable
    words = ["make", "-C", str(folder), "--no-print-directory", "setup", f"PYTHON={found}"]
    _check_success(_run(words, _SETUP_SECONDS, folder), f"make -C {folder} setup")
    return folder


def run(
    folder: Path, arguments: Sequence[str], extra: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run Python of an environment in its folder, with nothing of this process's own but PERENNIAL_* and the like."""
    return _run([str(folder / ".venv" / "bin" / "python"), *arguments], seconds, folder, extra)


def _is_clean_checkout(folder: Path, commit: str) -> bool:
    if not (folder / ".git").exists():
        return False
    head = _git(folder, "rev-parse", "HEAD")
    clean = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return head.stdout.strip() == commit and clean.returncode == 0 and not clean.stdout.strip()


def _git(repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return _run(["git", "-C", str(repository), *words], 10 * _ANSWER_SECONDS, repository)


def _run(
    arguments: Sequence[str], seconds: float, folder: Path, extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    kept = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("GIT_")}
    where = folder if folder.is_dir() else None
    try:
        return subprocess.run(
            list(arguments),
            cwd=where,
            env={**kept, **(extra or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(list(arguments), 127, "", str(error))


def _check_success(process: subprocess.CompletedProcess[str], what: str) -> None:
    if process.returncode != 0:
        lines = [line for line in (process.stderr or process.stdout).splitlines() if line.strip()]
        raise EnvironmentSetupError(
            f"`{what}` ended with {process.returncode}: {lines[-1][:300] if lines else 'no message'}"
        )
