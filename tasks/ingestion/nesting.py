"""How deep JSON goes, before a parser that recurses looks at it."""

from __future__ import annotations

import re

import numpy as np

from configs.source import Limits
from tasks.ingestion.limits import beyond

_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"?')
_OPENING, _CLOSING = b"[{", b"]}"


def check_nesting(block: bytes, first: int, limits: Limits) -> None:
    """Refuse lines whose objects and lists go too deep.

    Args:
        block: Whole lines.
        first: The number of the first one.
        limits: The limits.

    Raises:
        DataRejectedError: one goes deeper.
    """
    lines = block.count(b"\n") + 1
    if block.count(b"{") + block.count(b"[") <= lines + limits.nesting - 1 and block.count(b"[") < limits.nesting:
        return  # flat records: one brace a line
    for line in _suspects(block, limits.nesting):
        start = block.rfind(b"\n", 0, line) + 1
        end = block.find(b"\n", line)
        deep = _depth(block[start : end if end >= 0 else len(block)])
        if deep > limits.nesting:
            number = first + block.count(b"\n", 0, start)
            raise beyond(f"line {number:,} has objects and lists {deep} deep", "nesting", limits.nesting)


def _suspects(block: bytes, nesting: int) -> list[int]:
    """A place in each line that may go deeper: brackets in texts count here."""
    data = np.frombuffer(block, dtype=np.uint8)
    places = np.flatnonzero(np.isin(data, np.frombuffer(_OPENING + _CLOSING + b"\n", dtype=np.uint8)))
    signs = data[places]
    ends = signs == ord("\n")
    opening = np.isin(signs, np.frombuffer(_OPENING, dtype=np.uint8))
    line = np.cumsum(ends)
    count = np.bincount(line[opening], minlength=int(line[-1]) + 1 if len(line) else 1)
    many = np.flatnonzero(count > nesting)
    starts = np.concatenate(([0], places[ends] + 1))
    return [int(starts[one]) for one in many if starts[one] < len(block)]


def _depth(line: bytes) -> int:
    depth = deepest = 0
    for sign in _TEXT.sub(b"", line):
        if sign in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif sign in _CLOSING:
            depth -= 1
    return deepest
