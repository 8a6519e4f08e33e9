"""One writer at a time, in real processes; a killed holder frees the lock."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tasks.stores.locks.lock import LockTimeoutError, hold
from tasks.stores.settings import Settings
from tests.support.world import ROOT

PATIENCE = 60.0

HOLDER = """
import sys
from pathlib import Path
from tasks.stores.locks.lock import hold
from tasks.stores.settings import Settings
with hold(Settings(home=Path(sys.argv[1]), lock_timeout=60), "demand.data"):
    print("held", flush=True)
    sys.stdin.read()
print("released", flush=True)
"""

COUNTER = """
import sys
from pathlib import Path
from tasks.stores.locks.lock import hold
from tasks.stores.settings import Settings
folder = Path(sys.argv[1])
for _ in range(40):
    with hold(Settings(home=folder, lock_timeout=60), "demand.data"):
        path = folder / "count"
        path.write_text(str(int(path.read_text()) + 1))
"""


def within(home: Path, seconds: float) -> Settings:
    return Settings(home=home, lock_timeout=seconds)


@contextmanager
def python(code: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with python(HOLDER, str(folder)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_the_holding_thread_may_take_it_again(tmp_path: Path) -> None:
    with hold(within(tmp_path, 0), "demand.data"), hold(within(tmp_path, 0), "demand.data"):
        pass
    with hold(within(tmp_path, 0), "demand.data"):
        pass


def test_leaving_the_inner_block_does_not_free_it(tmp_path: Path) -> None:
    with hold(within(tmp_path, 0), "demand.data"):
        with hold(within(tmp_path, 0), "demand.data"):
            pass
        with python(HOLDER.replace("lock_timeout=60", "lock_timeout=0"), str(tmp_path)) as other:
            assert other.communicate(timeout=PATIENCE)[0] == ""
            assert other.returncode == 1


def test_another_thread_waits(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def other() -> None:
        try:
            with hold(within(tmp_path, 0.2), "demand.data"):
                pass
        except LockTimeoutError as error:
            failures.append(error)

    with hold(within(tmp_path, 0), "demand.data"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(failures) == 1
    other()
    assert len(failures) == 1


def test_other_names_are_other_locks(tmp_path: Path) -> None:
    with holder(tmp_path), hold(within(tmp_path, 0), "demand.model"), hold(within(tmp_path, 0), "supply.data"):
        pass


def test_an_exception_frees_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold(within(tmp_path, 0), "demand.data"):
        raise ZeroDivisionError
    with holder(tmp_path):
        pass


def test_a_timeout_names_the_holder(tmp_path: Path) -> None:
    with (
        holder(tmp_path) as process,
        pytest.raises(LockTimeoutError) as caught,
        hold(within(tmp_path, 0.3), "demand.data"),
    ):
        pass
    assert f"demand.data was held by another writer (process {process.pid}) for 0.3 s" in str(caught.value)
    assert "PERENNIAL_LOCK_TIMEOUT" in str(caught.value)


def test_who_waits_is_told_once_by_whom(tmp_path: Path) -> None:
    told: list[str] = []
    with (
        holder(tmp_path) as process,
        pytest.raises(LockTimeoutError),
        hold(within(tmp_path, 0.5), "demand.data", told.append),
    ):
        pass
    assert told == [f"waiting for another writer of demand.data (process {process.pid})"]


def test_nobody_is_told_where_nobody_waits(tmp_path: Path) -> None:
    told: list[str] = []
    with hold(within(tmp_path, 0), "demand.data", told.append):
        pass
    assert told == []


def test_kill_minus_nine_frees_it(tmp_path: Path) -> None:
    got = threading.Event()
    waiting = threading.Event()

    def wait() -> None:
        with hold(within(tmp_path, PATIENCE), "demand.data", lambda _: waiting.set()):
            got.set()

    with holder(tmp_path) as process:
        thread = threading.Thread(target=wait)
        thread.start()
        assert waiting.wait(PATIENCE)
        assert not got.is_set()
        os.kill(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)
        thread.join(PATIENCE)
        assert got.is_set()


def test_a_second_process_waits_until_the_first_is_done(tmp_path: Path) -> None:
    with holder(tmp_path) as first, python(HOLDER, str(tmp_path)) as second:
        assert first.stdin is not None
        assert first.stdout is not None
        assert second.stdout is not None
        with pytest.raises(LockTimeoutError, match=f"process {first.pid}"), hold(within(tmp_path, 0.2), "demand.data"):
            pass
        first.stdin.close()
        assert first.stdout.readline() == "released\n"
        assert second.stdout.readline() == "held\n"
        with pytest.raises(LockTimeoutError, match=f"process {second.pid}"), hold(within(tmp_path, 0.2), "demand.data"):
            pass


def test_no_two_processes_are_inside(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")
    with ExitStack() as stack:
        processes = [stack.enter_context(python(COUNTER, str(tmp_path))) for _ in range(3)]
        assert [one.wait(PATIENCE) for one in processes] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "120"
