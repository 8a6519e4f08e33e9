"""The command line, in this process and in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.stores.settings import QUIET
from tests.support.world import ROOT


@dataclass(frozen=True)
class Said:
    """What the command line answered."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output; anything beside it is an error."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


Cli = Callable[..., Said]


def showing(*heavy: str) -> str:
    """A program: the command line with its arguments, then a line with its exit code and which of these it loaded."""
    return (
        "import sys\n"
        "from perennial.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as ended:\n    code = ended.code\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        f"print(code, *sorted(loaded & {set(heavy)!r}))\n"
    )


def perennial(*words: str, home: Path, configs: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """The command line in a process of its own, without the session's server: it starts one itself."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PERENNIAL_"))}
    own = {**QUIET, "PERENNIAL_HOME": str(home), "PERENNIAL_CONFIGS": str(configs), **(env or {})}
    return subprocess.Popen(
        [sys.executable, "-m", "perennial.cli.main", *words],
        cwd=ROOT,
        env={**inherited, **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
