"""Two plots of a report as SVG, drawn by hand: no plotting library is needed for a few lines and bars."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from perennial.reporting.candidate import Link, PipelineCandidateReport, Point
from tasks.errors import UsageError
from tasks.records.decision import ColumnDrift, DriftVerdict

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 320, 70, 20, 56, 36
_SERIES = (("candidate", "#1565c0"), ("champion", "#2e7d32"), ("baseline", "#9e9e9e"))
_MOST_COLUMNS, _MOST_POINTS = 20, 30


def draw(report: PipelineCandidateReport, folder: Path) -> tuple[Link, ...]:
    """Write the plots that there is something to show for; links to them.

    Args:
        report: What to draw.
        folder: Made if it is missing.

    Raises:
        UsageError: the folder can't be written.
    """
    plots = {}
    if report.candidate is not None:
        plots["metric.svg"] = metric_plot(report.pipeline, report.candidate.primary, report.points)
    if report.drift is not None and report.drift.columns:
        plots["drift.svg"] = drift_plot(report.pipeline, report.drift)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, svg in plots.items():
            (folder / name).write_text(svg, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"--plots {folder} can't be written ({error.strerror or error}); name another folder."
        ) from None
    return tuple(Link(title=f"plot: {Path(name).stem}", target=(folder / name).as_posix()) for name in plots)


def metric_plot(pipeline: str, metric: str, points: Sequence[Point]) -> str:
    """The primary metric of the newest candidates, of their champions and the baseline, oldest first."""
    points = points[-_MOST_POINTS:]
    lines = [[getattr(point, name) for point in points] for name, _ in _SERIES]
    known = [number for line in lines for number in line if number is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    margin = (high - low) * 0.08 or abs(high) * 0.08 or 1.0
    low, high = low - margin, high + margin
    body = [_axis(low, high)]
    body += [_label(_x(place, len(points)), _HEIGHT - 12, point.label) for place, point in enumerate(points)]
    for (name, colour), line in zip(_SERIES, lines, strict=True):
        body.append(_series(line, colour, low, high, dashed=name == "baseline"))
    legend = "".join(
        f'<text x="{_LEFT + 110 * place}" y="44" fill="{colour}">● {name}</text>'
        for place, (name, colour) in enumerate(_SERIES)
    )
    return _svg(f"{pipeline}: {metric} by candidate (version)", legend + "".join(body), _HEIGHT)


def drift_plot(pipeline: str, drift: DriftVerdict) -> str:
    """The drift of each column, the greatest first; what drifted is red."""
    columns = sorted(drift.columns, key=lambda one: -one.effect)[:_MOST_COLUMNS]
    widest = max((one.effect for one in columns), default=0.0) or 1.0
    bars = "".join(_bar(place, one, widest) for place, one in enumerate(columns))
    return _svg(f"{pipeline}: drift by column, {drift.state}", bars, _TOP + 24 * len(columns) + 12)


def _x(place: int, places: int) -> float:
    span = _WIDTH - _LEFT - _RIGHT
    return _LEFT + span * (place + 0.5) / places


def _y(number: float, low: float, high: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - number) / (high - low)


def _axis(low: float, high: float) -> str:
    ticks = [low + (high - low) * step / 4 for step in range(5)]
    return "".join(
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_y(tick, low, high):.1f}" y2="{_y(tick, low, high):.1f}" '
        f'stroke="#e0e0e0"/><text x="{_LEFT - 6}" y="{_y(tick, low, high) + 4:.1f}" text-anchor="end">{tick:.4g}</text>'
        for tick in ticks
    )


def _series(line: Sequence[float | None], colour: str, low: float, high: float, *, dashed: bool) -> str:
    spots = [(_x(place, len(line)), _y(one, low, high)) for place, one in enumerate(line) if one is not None]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in spots)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>{dots}'


def _bar(place: int, column: ColumnDrift, widest: float) -> str:
    top, left = _TOP + 24 * place, 220
    colour = "#c62828" if column.drifted else "#90a4ae"
    width = (_WIDTH - left - 170) * column.effect / widest
    label = f"{column.effect:.3g} {column.measure.replace('_', '-')}"
    return (
        f'<text x="{left - 8}" y="{top + 12}" text-anchor="end">{escape(column.column)}</text>'
        f'<rect x="{left}" y="{top}" width="{width:.1f}" height="16" fill="{colour}"/>'
        f'<text x="{left + width + 6:.1f}" y="{top + 12}">{label}</text>'
    )


def _label(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{escape(text)}</text>'


def _svg(title: str, body: str, height: int) -> str:
    safe = escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{safe}" font-family="sans-serif" font-size="12" fill="#333">'
        f'<rect width="100%" height="100%" fill="#fff"/><text x="16" y="24" font-size="15">{safe}</text>{body}</svg>\n'
    )
