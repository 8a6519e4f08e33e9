"""Commits between two, given by a repository of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks.provenance.commits import commits_between
from tasks.stores import environment


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three commits: the first makes a.py and b.py, the second changes a.py, the third b.py. Their hashes."""
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    git(tmp_path, "init", "-q")
    made = []
    for number, names in enumerate((("a.py", "b.py"), ("a.py",), ("b.py",)), start=1):
        for name in names:
            (tmp_path / name).write_text(f"x = {number}\n")
        git(tmp_path, "add", ".")
        who = ["-c", "user.name=t", "-c", "user.email=t@perennial.invalid"]
        git(tmp_path, *who, "commit", "-q", "-m", f"change {number}")
        made.append(git(tmp_path, "rev-parse", "HEAD"))
    return made


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)  # noqa: S607
    return done.stdout.strip()


def test_commits_that_touched_the_files_are_told_newest_first(repository: list[str]) -> None:
    first, second, third = repository
    told = commits_between(first, third, ["a.py", "b.py"])
    assert told is not None
    assert [line.partition(" ")[2] for line in told] == ["change 3", "change 2"]
    assert commits_between(first, third, ["a.py"]) == (told[1],)
    assert second.startswith(told[1].partition(" ")[0])


def test_that_files_were_changed_since_a_commit_does_not_hide_it(repository: list[str]) -> None:
    told = commits_between(f"{repository[0]}-dirty", f"{repository[2]}-dirty", ["b.py"])
    assert told is not None
    assert len(told) == 1


def test_what_can_t_be_told_is_none(repository: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commits_between("", repository[2], ["a.py"]) is None
    assert commits_between("0" * 40, repository[2], ["a.py"]) is None
    assert commits_between(repository[0], repository[2], []) is None
    monkeypatch.setattr(environment, "ROOT", tmp_path / "installed")
    assert commits_between(repository[0], repository[2], ["a.py"]) is None
