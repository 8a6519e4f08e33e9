"""A lineage in plain lines, no wider than 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from perennial.reporting.lineage import facts, tables
from perennial.reporting.lineage.facts import Facts
from perennial.reporting.lineage.records import Lineage
from perennial.reporting.lineage.tables import Rows

_WIDTH = 100
_ROWS = 6
_YAML_LINES = 24
_FEW_DIGITS = 12
_GAP = 2


def text(one: Lineage) -> str:
    """The lineage, grouped; long lists are shortened."""
    live = "" if one.champion != one.version else ", champion now"
    if one.champion is not None and one.champion != one.version:
        live = f"; champion now: version {one.champion}"
    lines = [f"{one.pipeline} version {one.version}{live}", *_wrapped("  ", f"asked for: {one.asked}")]
    if one.description:
        lines += _wrapped("  ", one.description)
    for title, section in _sections(one):
        if section:
            lines += ["", title, *section[not section[0] :]]  # a table that follows facts begins with an empty line
    return "\n".join(lines)


def _sections(one: Lineage) -> Iterator[tuple[str, list[str]]]:
    yield (
        "could not be read",
        [line for each in one.problems for line in _wrapped("  ", f"{each.place}: {each.message}")],
    )
    yield "data", [*_facts(facts.data(one)), *_table(tables.FILES, _short_ends(tables.files(one.accepted)))]
    yield "rejected files", _table(tables.REJECTED, tables.rejected(one))
    yield "model", _facts(facts.model(one))
    yield "configuration", _yaml(facts.config_summary(one))
    yield "code", [*_facts(facts.code(one)), *_table(("module", "digest"), _short_ends([*one.code.items()]))]
    yield "environment", _facts(facts.environment(one))
    yield "stages", _table(tables.STAGES, [_short_stage(row) for row in tables.stages(one)])
    yield "runs", _facts([(page.title, page.target or page.name) for page in one.pages])
    yield (
        "verdict",
        [*_facts(facts.evaluation(one)), *_metrics(tables.metrics(one)), *_table(tables.GATES, tables.gates(one))],
    )
    yield "champion", _table(tables.CHAMPION_PERIODS, tables.champion_periods(one)) or ["  never"]
    yield "usage", [*_facts(facts.usage(one)), *_table(tables.PREDICTED, tables.predicted(one))]
    yield "monitoring", _table(tables.MONITORING, tables.monitoring(one))
    yield "compared with it", _table(tables.COMPARED, tables.compared(one))


def _facts(found: Facts) -> list[str]:
    width = max((len(name) for name, _ in found), default=0)
    return [line for name, value in found for line in _wrapped(f"  {name.ljust(width)}  ", value)]


def _wrapped(head: str, value: str) -> list[str]:
    """A value behind its head, the lines that follow below its first."""
    width = _WIDTH - len(head)
    lines = textwrap.wrap(" ".join(value.split()), width, break_on_hyphens=False) or [""]
    return [(head + lines[0]).rstrip(), *(" " * len(head) + line for line in lines[1:])]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows in aligned columns; the last but one column that is too wide is cut, the last one wrapped."""
    if not rows:
        return []
    shown, left_out = tables.shortened(rows, _ROWS)
    widths = _widths([head, *shown])
    lines = [line for row in [head, *shown] for line in _row(row, widths)]
    if left_out:
        half = _ROWS - _ROWS // 2
        place = 1 + sum(len(_row(row, widths)) for row in shown[:half])
        lines.insert(place, f"  … and {left_out} more; --json shows all")
    return ["", *lines] if len(head) > 2 else lines


def _widths(rows: Sequence[tuple[str, ...]]) -> list[int]:
    """Widths of the columns: the widest one gives way until all fit."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    while sum(widths) + _GAP * len(widths) > _WIDTH:
        widths[widths.index(max(widths))] -= 1
    return widths


def _row(row: tuple[str, ...], widths: Sequence[int]) -> list[str]:
    """A row; a cell that is too long goes on below."""
    cells = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
    depth = max(len(lines) for lines in cells)
    padded = [[*lines, *[""] * (depth - len(lines))] for lines in cells]
    gap = " " * _GAP
    return [
        (gap + gap.join(lines[at].ljust(width) for lines, width in zip(padded, widths, strict=True))).rstrip()
        for at in range(depth)
    ]


def _metrics(rows: Rows) -> list[str]:
    return _table(rows[0], rows[1:])


def _short_ends(rows: Sequence[tuple[str, ...]]) -> Rows:
    """Rows whose last cell is a digest."""
    return [(*row[:-1], row[-1][:_FEW_DIGITS]) for row in rows]


def _short_stage(row: tuple[str, ...]) -> tuple[str, ...]:
    return (*row[:-2], row[-2][:_FEW_DIGITS], row[-1][:_FEW_DIGITS])


def _yaml(whole: str) -> list[str]:
    lines = whole.splitlines()
    shown = [textwrap.shorten(line, _WIDTH - 2, placeholder=" …") if len(line) > _WIDTH - 2 else line for line in lines]
    more = [f"… and {len(lines) - _YAML_LINES} more lines; --json shows all"] if len(lines) > _YAML_LINES else []
    return [f"  {line}" for line in [*shown[:_YAML_LINES], *more]]
