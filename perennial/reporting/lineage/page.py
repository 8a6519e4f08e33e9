"""A lineage as one page that needs nothing else: the graph, and a section for each of its parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files as resources

from perennial.reporting.champions import format_time
from perennial.reporting.lineage import facts, tables
from perennial.reporting.lineage.drawing import draw
from perennial.reporting.lineage.facts import Facts
from perennial.reporting.lineage.graph import graph
from perennial.reporting.lineage.records import Lineage

_STYLE = "page.css"
_DIGEST = 12


def page(one: Lineage) -> str:
    """The page, as HTML."""
    title = f"{one.pipeline} version {one.version}"
    style = (resources("perennial.reporting.lineage") / _STYLE).read_text(encoding="utf-8")
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}: lineage</title>",
            f"<style>\n{style}</style></head><body>",
            *_header(one, title),
            *_problems(one),
            f'<div class="graph">{draw(graph(one))}</div>',
            "<main>",
            *_sections(one),
            "</main></body></html>\n",
        ]
    )


def _header(one: Lineage, title: str) -> Iterator[str]:
    live = one.champion == one.version
    now = "no champion" if one.champion is None else f"champion now: version {one.champion}"
    badge = '<span class="badge live">champion</span>' if live else f'<span class="badge">{escape(now)}</span>'
    outcome = one.newest_evaluation.outcome.replace("_", " ")
    yield f"<header><h1>{escape(title)} {badge}</h1>"
    asked = f"asked for: {one.asked}; evaluated {format_time(one.newest_evaluation.at)}: {outcome}"
    yield f"<p>{escape(one.description)}</p><p class='dim'>{escape(asked)}</p></header>"


def _problems(one: Lineage) -> Iterator[str]:
    if one.problems:
        lines = "".join(f"<li><b>{escape(each.place)}</b>: {escape(each.message)}</li>" for each in one.problems)
        yield f'<div class="problems"><h2>Could not be read</h2><ul>{lines}</ul></div>'


def _sections(one: Lineage) -> Iterator[str]:
    metrics = tables.metrics(one)
    accepted = _table(tables.FILES, tables.files(one.accepted), numbers={1}, digest=4)
    yield _section("data", "Data", _facts(facts.data(one)), accepted, wide=True)
    if one.refused:
        yield _section("refused", "Rejected files", _table(tables.REJECTED, tables.rejected(one)), wide=True)
    yield _section("model", "Model", _facts(facts.model(one)))
    yield _section(
        "verdict", "Verdict", _facts(facts.evaluation(one)), _table(metrics[0], metrics[1:], numbers={1, 2, 3})
    )
    yield _section("gates", "Gates", _table(tables.GATES, tables.gates(one), state=1))
    yield _section(
        "champion", "Champion", _table(tables.CHAMPION_PERIODS, tables.champion_periods(one)) or "<p>Never.</p>"
    )
    after = _table(tables.PREDICTED, tables.predicted(one), numbers={1, 2})
    yield _section("after", "Usage", _facts(facts.usage(one)), after)
    if one.watched:
        yield _section("watched", "Monitoring", _table(tables.MONITORING, tables.monitoring(one), state=2))
    if one.rivals:
        yield _section("rivals", "Compared with it", _table(tables.COMPARED, tables.compared(one)))
    yield _section(
        "stages", "Stages", _table(tables.STAGES, tables.stages(one), numbers={2, 3, 4}, digest=5), wide=True
    )
    yield _section("runs", "Runs", _runs(one))
    yield _section("code", "Code", _facts(facts.code(one)), _table(("module", "digest"), [*one.code.items()], digest=1))
    yield _section("config", "Configuration", f"<pre>{escape(facts.config_yaml(one)) or 'not known'}</pre>")
    packages = "".join(f"<li>{escape(name)} {escape(number)}</li>" for name, number in facts.packages(one).items())
    yield _section(
        "environment", "Environment", _facts(facts.environment(one)), f'<ul class="packages">{packages}</ul>'
    )


def _section(key: str, title: str, *parts: str, wide: bool = False) -> str:
    wider = ' class="wide"' if wide else ""
    return f'<section id="{key}"{wider}><h2>{escape(title)}</h2>{"".join(parts)}</section>'


def _facts(found: Facts) -> str:
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in found)
    return f"<dl>{lines}</dl>"


def _table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: set[int] | None = None,
    digest: int | None = None,
    state: int | None = None,
) -> str:
    """A table; columns of numbers stand right, digests are short until one points at them, states are coloured."""
    if not rows:
        return ""

    def cell(place: int, value: str) -> str:
        if place == digest:
            return f'<td class="digest" title="{escape(value)}">{escape(value[:_DIGEST])}</td>'
        kind = "number" if place in (numbers or ()) else "moment" if head[place].endswith("(UTC)") else ""
        if place == state:
            kind = f"state {escape(value)}"
        return f'<td class="{kind}">{escape(value)}</td>' if kind else f"<td>{escape(value)}</td>"

    titles = "".join(
        f'<th class="number">{escape(name)}</th>' if place in (numbers or ()) else f"<th>{escape(name)}</th>"
        for place, name in enumerate(head)
    )
    body = "".join(f"<tr>{''.join(cell(place, value) for place, value in enumerate(row))}</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def _runs(one: Lineage) -> str:
    lines = "".join(
        f"<dt>{escape(each.title)}</dt><dd>"
        + (f'<a href="{escape(each.target)}">{escape(each.name)}</a>' if each.target else escape(each.name))
        + "</dd>"
        for each in one.pages
    )
    return f"<dl>{lines}</dl>"
