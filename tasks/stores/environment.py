"""What a run's outcome depends on besides data and configuration: code, libraries, threads."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from configs.schema import PipelineConfig
from tasks.refs import digest

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "skops")


def code_digest(folders: Sequence[str]) -> str:
    """Digest of the normalised syntax trees of all modules below some folders of the checkout.

    Comments, layout and docstrings change nothing; any other change of the code does.
    """
    parts = [
        f"{path.relative_to(ROOT).as_posix()}\n{_normalised(path)}"
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _normalised(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def library_versions(names: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Installed versions of the libraries that a model depends on."""
    return {name: version(name) for name in names}


def lock_digest() -> str:
    """Digest of requirements.lock; empty where the code runs without it."""
    path = ROOT / "requirements.lock"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def git_commit() -> str:
    """The code's commit, with `-dirty` if changed since; PERENNIAL_GIT_COMMIT where there is no checkout."""
    told = os.environ.get("PERENNIAL_GIT_COMMIT", "")
    if told or not (ROOT / ".git").exists():
        return told
    commit = _git("rev-parse", "HEAD")
    return f"{commit}-dirty" if commit and _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *words],  # noqa: S607  # git from the PATH is meant
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def environment_digest() -> str:
    """Digest of the library versions."""
    return digest([f"{name}=={number}" for name, number in sorted(library_versions().items())])


def recipe(config: PipelineConfig) -> str:
    """Digest of all that decides what a model is but the data: configuration, code, libraries, seed."""
    sections = config.model_dump(
        mode="json", include={"contract", "features", "split", "training", "evaluation", "policy", "seed", "task"}
    )
    code = code_digest(["tasks/features", "tasks/training"])
    return digest({"config": sections, "code": code, "environment": environment_digest()})
