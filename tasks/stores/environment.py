"""What a run's outcome depends on besides data and configuration: code, libraries, threads."""

from __future__ import annotations

import ast
import copy
import hashlib
import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path
from types import MappingProxyType

from tasks.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "skops")


def read_module(path: Path, tops: Collection[str] = ()) -> tuple[str, ast.Module]:
    """Digest of a module's normalised syntax tree, and that tree: without docstrings.

    Args:
        path: The module's file.
        tops: Packages whose imports count by the names that are imported, wherever they stand and whatever module they
            come from: where a module lies changes nothing.

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
    without = _WithoutImports(frozenset(tops))
    content = ast.dump(without.visit(copy.deepcopy(tree)))
    return hashlib.sha256("\n".join([content, *sorted(set(without.names))]).encode()).hexdigest(), tree


class _WithoutImports(ast.NodeTransformer):
    """Takes the imports of some packages out of a tree, and keeps the names that they bind."""

    def __init__(self, tops: frozenset[str]) -> None:
        self._tops = tops
        self.names: list[str] = []

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:  # as ast calls it
        """`from package.module import name`."""
        if not node.level and (node.module or "").partition(".")[0] not in self._tops:
            return node
        self.names += [f"{name.name} as {name.asname or name.name}" for name in node.names]
        return None

    def visit_Import(self, node: ast.Import) -> ast.AST | None:  # as ast calls it
        """`import package.module as name`; without a name of its own, the code that uses it says the path itself."""
        if not all(name.asname and name.name.partition(".")[0] in self._tops for name in node.names):
            return node
        self.names += [f"module as {name.asname}" for name in node.names]
        return None

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """A block of which nothing is left gets a `pass`."""
        super().generic_visit(node)
        if getattr(node, "body", None) == [] and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node


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
