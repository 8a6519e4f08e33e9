"""A lock between machines: an advisory lock of PostgreSQL, held by a connection of its own."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from tasks.stores.settings import Settings
from tasks.stores.state.database import DatabaseError, connect

# Of the server, for this connection alone. A holder whose machine is gone is found dead after 5 + 3 × 5 seconds.
_SESSION = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "idle_session_timeout": "0",
}
_MARK = "perennial"
_TRY_LOCK = sa.text("SELECT pg_try_advisory_lock(:key)")
_UNLOCK = sa.text("SELECT pg_advisory_unlock(:key)")
_HOLDER = sa.text("""
    SELECT application_name, pid = pg_backend_pid() AS own
    FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
      AND classid::bigint = :high AND objid::bigint = :low
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")


class AdvisoryLock:
    """A session's advisory lock. The server frees it when the connection ends, however it ends.

    Args:
        settings: Where the state is: a PostgreSQL that is reached directly, or through a pooler of sessions.
        name: The lock's name.

    Raises:
        DatabaseError: PostgreSQL can't be reached.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self._key = lock_key(name)
        self._broken = False
        self._connection = connect(settings).connect().execution_options(isolation_level="AUTOCOMMIT")
        options = {**_SESSION, "application_name": f"{_MARK} {os.getpid()} {socket.gethostname()[:40]}"}
        for setting, value in options.items():
            self._connection.execute(sa.select(sa.func.set_config(setting, value, False)))

    def try_acquire(self) -> bool:
        """Try once; whether it is ours."""
        return bool(self._connection.execute(_TRY_LOCK, {"key": self._key}).scalar())

    def is_held(self) -> bool:
        """Whether it still is."""
        try:
            return not self._broken and any(row.own for row in self._holders())
        except DatabaseError:
            self._broken = True
            return False

    def holder(self) -> str:
        """Who has it, as far as PostgreSQL lets this user see."""
        for row in self._holders():
            mark, _, rest = str(row.application_name).partition(" ")
            pid, _, host = rest.partition(" ")
            return f"process {pid} on {host}" if mark == _MARK else "process unknown"
        return "process unknown"

    def release(self) -> bool:
        """Give it back; whether it was ours until now."""
        if not self.is_held():  # else unlocking would only warn
            return False
        return bool(self._connection.execute(_UNLOCK, {"key": self._key}).scalar())

    def close(self) -> None:
        """Let go of it in any case."""
        self._connection.close()

    def _holders(self) -> Sequence[sa.Row[Any]]:
        """The session that has it, if any: at most one."""
        halves = {"high": self._key >> 32, "low": self._key & 0xFFFFFFFF}
        return self._connection.execute(_HOLDER, halves).all()


def lock_key(name: str) -> int:
    """The number of a lock: 63 bits of its name's hash, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"perennial:{name}".encode()).digest()[:8], "big") >> 1
