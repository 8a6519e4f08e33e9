"""What a run's outcome depends on besides data and configuration: code, libraries, threads."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path
from types import MappingProxyType

from tasks.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "skops")


def code_digests(folders: Sequence[str]) -> dict[str, str]:
    """Digest of the normalised syntax tree of each module below some folders of the checkout, by path.

    Comments, layout and docstrings change nothing; any other change of the code does.
    """
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): module_digest(path) for path in paths}


def module_digest(path: Path) -> str:
    """Digest of a module's normalised syntax tree.

    Raises:
        UsageError: the module is no Python.
    """
    return read_module(path)[0]


def read_module(path: Path) -> tuple[str, ast.Module]:
    """Digest of a module's normalised syntax tree, and that tree: without docstrings.

    Raises:
        UsageError: the module is no Python.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"{path}: this module can't be read as Python: {error}.") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tree


def library_versions(names: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Installed versions of the libraries that a model depends on, as this process found them."""
    return {name: _version(name) for name in names}


_version = cache(version)


@cache
def packages() -> Mapping[str, str]:
    """Version of every installed distribution, by its name in small letters with dashes; as this process found them."""
    found = {one.name.lower().replace("_", "-"): one.version for one in distributions() if one.name}
    return MappingProxyType(dict(sorted(found.items())))


def lock_digest() -> str:
    """Digest of requirements.lock, production's; empty where the code runs without it."""
    path = ROOT / "requirements.lock"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def git_commit() -> str:
    """The checkout's commit, with `-dirty` if changed since; PERENNIAL_GIT_COMMIT where there is no checkout.

    Empty where it is not known: git says nothing of the checkout, or there is neither.
    """
    if not (ROOT / ".git").exists():
        return os.environ.get("PERENNIAL_GIT_COMMIT", "").strip()
    commit = git("rev-parse", "HEAD") or ""
    return f"{commit}-dirty" if commit and git("status", "--porcelain", "--untracked-files=no") else commit


def git(*words: str) -> str | None:
    """What git says of the checkout; None where it can't."""
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *words],  # noqa: S607  # git from the PATH is meant
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
