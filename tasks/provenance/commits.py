"""What the code's own repository knows of the commits between two."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.stores import environment

_DIRTY = "-dirty"
_MOST = 200


def commits_between(before: str, now: str, paths: Sequence[str]) -> tuple[str, ...] | None:
    """Short hash and subject of each commit that touched some paths, newest first.

    None where it can't be determined: no checkout, no git, or a commit that the repository does not have.

    Args:
        before: The commit before; `-dirty` at its end is passed over.
        now: The commit after.
        paths: Files, relative to the checkout.
    """
    span = f"{before.removesuffix(_DIRTY)}..{now.removesuffix(_DIRTY)}"
    if not before or not now or not (environment.ROOT / ".git").exists() or not paths:
        return None
    asked = ["log", "--format=%h %s", f"--max-count={_MOST}", span, "--", *paths]
    found = environment.git(*asked)
    return None if found is None else tuple(found.splitlines())
