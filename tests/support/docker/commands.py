"""Whether a command that some file names is there, by what is installed."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache

import typer.main

from tests.support.world import ROOT


def perennial_commands() -> dict[str, set[str]]:
    """The commands of `perennial`, each with its options; those of a group as `group command`."""
    from perennial.cli.main import app

    group = typer.main.get_command(app)
    found: dict[str, set[str]] = {}
    for name, command in getattr(group, "commands", {}).items():
        found[name] = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {"--help"}
        for below, nested in getattr(command, "commands", {}).items():
            found[f"{name} {below}"] = {option for one in nested.params for option in one.opts} | {"--help"}
    return found


@cache
def prefect_help(*words: str) -> str:
    """What `prefect WORDS --help` says, with its exit code checked: an unknown command fails."""
    code = "import sys; sys.argv[0] = 'prefect'; from prefect.cli import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"prefect {' '.join(words)}: {done.stdout}{done.stderr}"
    assert f"Usage: prefect {' '.join(words)}".strip() in done.stdout, done.stdout
    return done.stdout


def make_targets() -> set[str]:
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def check(words: list[str]) -> None:
    """Fail unless a command line, as words, names what there is: the program, its command and its options."""
    program, *rest = words
    options = [word.split("=")[0] for word in rest if word.startswith("--")]
    plain = [word for word in rest if not word.startswith("-")]
    if program == "perennial":
        known = perennial_commands()
        name = " ".join(plain[:2]) if " ".join(plain[:2]) in known else plain[0]
        assert name in known, f"perennial has no command {name}"
        assert set(options) <= known[name], f"perennial {name} has no option {set(options) - known[name]}"
    elif program == "prefect":
        command = {"server": 2, "deploy": 1, "deployment": 2, "work-pool": 2, "worker": 2}[plain[0]]
        depth = 3 if plain[:2] == ["server", "services"] else command
        said = prefect_help(*plain[:depth])
        missing = [option for option in options if option not in said]
        assert not missing, f"prefect {' '.join(plain[:depth])} has no option {missing}"
    elif program == "make":
        assert {word for word in plain if "=" not in word} <= make_targets()
    elif program == "mlflow":
        import mlflow.cli

        assert set(options) <= {option for one in mlflow.cli.cli.commands[plain[0]].params for option in one.opts}
    elif program == "uvicorn":
        import uvicorn
        from uvicorn.importer import import_from_string

        assert set(options) <= {option for one in uvicorn.main.params for option in one.opts}
        assert callable(import_from_string(plain[0]))
    elif program == "python":
        assert (ROOT / plain[0]).is_file() or rest[0] == "-m", f"{plain[0]} is not there"
    else:
        raise AssertionError(f"{program}: no way to check it")
