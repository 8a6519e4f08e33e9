"""The commit of a real git checkout."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tasks.stores import environment
from tests.support.world import ROOT


def test_a_checkout_knows_its_commit_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        own = ("-c", "user.name=tests", "-c", "user.email=tests@perennial.invalid", "-c", "commit.gpgsign=false")
        line = ["git", "-C", str(tmp_path), *own, *words]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setenv("PERENNIAL_GIT_COMMIT", "abc123")
    (tmp_path / "module.py").write_text("x = 1\n")
    git("init", "--quiet")
    assert environment.git_commit() == ""  # a checkout without a commit: not known, and not another's
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    assert environment.git_commit() == git("rev-parse", "HEAD") == git(*described())
    (tmp_path / "module.py").write_text("x = 2\n")
    assert environment.git_commit() == f"{git('rev-parse', 'HEAD')}-dirty" == git(*described())


def described() -> list[str]:
    """How docker/README.md has git tell a build its commit."""
    (command,) = re.findall(
        r"export GIT_COMMIT=\$\(git (.+)\)", (ROOT / "docker/README.md").read_text(encoding="utf-8")
    )
    return shlex.split(command)
