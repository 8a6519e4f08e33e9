"""A pipeline's history in plain lines for a terminal, and in markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from perennial.cli.render import table
from perennial.reporting.champions import format_time
from perennial.reporting.changes import describe
from perennial.reporting.changes.records import Attribution, ChangeEffect, History, MetricEffect, VersionHistory
from tasks.stores.markdown import cell

_Draw = Callable[[list[tuple[str, ...]]], list[str]]


def text(history: History) -> str:
    """The history in plain lines, the newest version last."""
    lines = [_head(history)]
    for one in history.versions:
        lines += ["", _title(one), *_body(one, history)]
    if history.attribution is not None:
        lines += ["", *_attribution(history.attribution, _indented)]
    lines += ["", *(f"damaged: {note}" for note in history.notes)] if history.notes else []
    return "\n".join(lines)


def markdown(history: History) -> str:
    """The history in markdown, GitHub's and GitLab's kind, the newest version last."""
    lines = [f"# {history.pipeline}: history", "", _head(history)]
    for one in history.versions:
        lines += ["", f"## {cell(_title(one))}", ""]
        for other, change in zip([None, *one.changes], one.changes, strict=False):
            lines += [f"{_capital(describe.title(change))}:", ""]
            lines += [f"- {kind}: {cell(line)}" for kind, line in describe.lines(change, other)]
            lines.append("")
        lines += [f"{_capital(_comparison(one))}:", "", *_grid(_effects(one)), "", *_cost_lines(one, history, _grid)]
    if history.attribution is not None:
        lines += ["", "## Each change by itself", "", *_attribution(history.attribution, _grid)]
    lines += ["", *(f"- damaged: {cell(note)}" for note in history.notes)] if history.notes else []
    return "\n".join(lines)


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cell(one) for one in cells)} |"


def _head(history: History) -> str:
    if not history.versions:
        return (
            f"{history.pipeline}: no candidate has been evaluated yet. `perennial run {history.pipeline}` trains the "
            "first once enough has landed."
        )
    champion = "no version is champion yet" if history.champion is None else f"version {history.champion} is champion"
    return f"{history.pipeline}: {champion}"


def _title(one: VersionHistory) -> str:
    name = "a candidate without a number" if one.version is None else f"version {one.version}"
    return f"{name}, {format_time(one.at)} by {one.by}: {one.outcome.replace('_', ' ')}"


def _body(one: VersionHistory, history: History) -> Iterator[str]:
    if one.reason:
        yield f"  {one.reason}"
    for other, change in zip([None, *one.changes], one.changes, strict=False):
        yield f"  {describe.title(change)}"
        last = ""
        for kind, line in describe.lines(change, other):
            yield f"    {kind if kind != last else '':<9}{line}"
            last = kind
    yield f"  {_comparison(one)}"
    yield from (f"    {line}" for line in table(_effects(one)).splitlines())
    yield from (f"  {line}" for line in _cost_lines(one, history, _indented))


def _comparison(one: VersionHistory) -> str:
    incumbent = "the baseline" if one.rival is None else f"version {one.rival}, the champion then,"
    if not one.compared_rows:
        return f"not compared with {incumbent} on any row: {one.reason}"
    return f"compared with {incumbent} on {one.compared_rows} rows that neither had seen"


def _effects(one: VersionHistory) -> list[tuple[str, ...]]:
    incumbent = "baseline" if one.rival is None else f"version {one.rival}"
    rows = [_effect(effect) for effect in one.effects]
    return [("metric", "itself", incumbent, "improvement", "interval"), *rows]


def _effect(one: MetricEffect) -> tuple[str, ...]:
    itself, incumbent = ("–" if number is None else f"{number:.4g}" for number in (one.value, one.rival))
    return (one.metric, itself, incumbent, *describe.interval(one.improvement))


def _cost_lines(one: VersionHistory, history: History, draw: _Draw) -> list[str]:
    if one.total is None:
        return [f"cost: not known ({'; '.join(one.notes) or 'no manifest'})"]
    rows = [describe.stage_cost(stage, history.currency) for stage in one.stages]
    total = ("in all", *describe.cost(one.total, one.money, history.currency))
    return draw([("cost", "wall", "CPU", "memory", "price"), *rows, total])


def _attribution(one: Attribution, draw: _Draw) -> list[str]:
    versions = [f"version {number}" if number is not None else "a candidate" for number in (one.version, one.before)]
    values = f"{one.metric} {one.value:.4g} against {one.before_value:.4g}"
    title = f"each change by itself: {versions[0]} against {versions[1]}, rebuilt: {values} on {one.rows} held-out rows"
    rows = [_change_effect(part) for part in one.parts]
    rows += [("sum of these", describe.signed(one.sum), "")]
    rows += [("all changes together", *describe.interval(one.whole))]
    rows += [("left: their interaction", describe.signed(one.left), "")]
    table_lines = draw([("change", "improvement", "interval"), *rows])
    untried = [f"not tried, as both are rebuilt with the current code and packages: {line}" for line in one.code]
    return [title, "", *table_lines, "", *(f"  {line}" for line in (*untried, *one.notes))]


def _change_effect(one: ChangeEffect) -> tuple[str, ...]:
    label = one.description[0] if len(one.description) == 1 else f"{one.name} ({len(one.description)} fields)"
    label = f"{one.name}: {label}" if one.name == "data" else label
    return (f"{label}: not tried: {one.problem}", "–", "–") if one.problem else (label, *describe.interval(one.effect))


def _indented(rows: list[tuple[str, ...]]) -> list[str]:
    return [f"  {line}" for line in table(rows).splitlines()]


def _grid(rows: list[tuple[str, ...]]) -> list[str]:
    return [_row(rows[0]), _row(["---"] * len(rows[0])), *(_row(row) for row in rows[1:])]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
