"""How deep JSON goes, before a parser that recurses looks at it."""

from __future__ import annotations

import re

import numpy as np

from configs.source import Limits
from tasks.ingestion.limits import limit_error

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
    for line in _lines_to_check(block, limits.nesting):
        start = block.rfind(b"\n", 0, line) + 1
        end = block.find(b"\n", line)
        depth = _depth(block[start : end if end >= 0 else len(block)])
        if depth > limits.nesting:
            number = first + block.count(b"\n", 0, start)
            raise limit_error(f"line {number:,} has objects and lists {depth} deep", "nesting", limits.nesting)


def _lines_to_check(block: bytes, nesting: int) -> list[int]:
    """A place in each line that may go deeper: brackets in texts count here."""
    data = np.frombuffer(block, dtype=np.uint8)
    positions = np.flatnonzero(np.isin(data, np.frombuffer(_OPENING + _CLOSING + b"\n", dtype=np.uint8)))
    characters = data[positions]
    line_ends = characters == ord("\n")
    is_opening = np.isin(characters, np.frombuffer(_OPENING, dtype=np.uint8))
    line = np.cumsum(line_ends)
    count = np.bincount(line[is_opening], minlength=int(line[-1]) + 1 if len(line) else 1)
    deep_lines = np.flatnonzero(count > nesting)
    starts = np.concatenate(([0], positions[line_ends] + 1))
    return [int(starts[number]) for number in deep_lines if starts[number] < len(block)]


def _depth(line: bytes) -> int:
    depth = deepest = 0
    for character in _TEXT.sub(b"", line):
        if character in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif character in _CLOSING:
            depth -= 1
    return deepest
