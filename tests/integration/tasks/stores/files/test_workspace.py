"""Folders for files on their way: gone after the block, and after a kill with the next one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tasks.stores.files.workspace import workspace
from tests.support.world import ROOT

_CHILD = """
import sys
from pathlib import Path
from tasks.stores.files.workspace import workspace
with workspace(Path(sys.argv[1])) as folder:
    (folder / "draft").write_text("half")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_it_is_empty_and_gone_after_the_block(tmp_path: Path) -> None:
    with workspace(tmp_path / "root") as first, workspace(tmp_path / "root") as second:
        assert first != second
        assert list(first.iterdir()) == list(second.iterdir()) == []
        (first / "a").write_text("x")
    assert list((tmp_path / "root").iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _CHILD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, text=True) as child:
        assert child.stdout is not None
        left = Path(child.stdout.readline().strip())
        with workspace(tmp_path):
            assert (left / "draft").is_file()
        child.kill()
        child.wait()
        assert (left / "draft").is_file()
        with workspace(tmp_path) as mine:
            assert list(tmp_path.iterdir()) == [mine]
