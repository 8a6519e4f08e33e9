"""What changed, in words: lines that text and markdown share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from perennial.reporting.champions import format_time as moment
from perennial.reporting.changes.records import (
    CodeChange,
    DataChange,
    DriftSummary,
    FieldChange,
    PackageChange,
    StageCost,
    VersionChange,
)
from tasks.records.decision import Interval
from tasks.records.provenance import Cost, shorten

FIRST = "the first"
_MOST_NAMED = 5


def title(change: VersionChange) -> str:
    """What a change is against."""
    if change.against is None:
        return "made of" if change.why == FIRST else f"changed since a candidate without a number, {change.why}"
    return f"changed since version {change.against}, {change.why}"


def lines(change: VersionChange, other: VersionChange | None = None) -> Iterator[tuple[str, str]]:
    """What kind of thing changed, and how; a line each.

    Args:
        change: The change.
        other: One that was described before: where a kind of thing changed alike, that is said in a word.
    """
    previous = {} if other is None else _by_kind(other)
    for kind, each in _by_kind(change).items():
        yield from ((kind, line) for line in (["as above"] if each and previous.get(kind) == each else each))


def _by_kind(change: VersionChange) -> dict[str, list[str]]:
    found = {"data": list(_data(change.data))}
    if change.data.drift is not None:
        found["drift"] = [_drift(change.data.drift)]
    if change.why != FIRST:
        found["config"] = _config(change.config)
        found["code"] = list(_code(change.code))
        found["packages"] = list(_packages(change.packages))
        found["unknown"] = list(change.unknown)
    return found


def code_lines(change: VersionChange) -> list[str]:
    """What changed of code and packages; empty where nothing did that a stage depends on."""
    code = [] if change.code is None or not change.code.modules else list(_code(change.code))
    return [*code, *(f"{one.name} {one.before} → {one.now}" for one in change.packages or () if one.matters)]


def _config(fields: Sequence[FieldChange] | None) -> list[str]:
    if fields is None:
        return []
    return [field_line(one) for one in fields] or ["nothing that a stage depends on"]


def field_line(field: FieldChange) -> str:
    """A field of the configuration: before and now; of a list, what came and went."""
    if isinstance(field.before, list) and isinstance(field.now, list):
        removed = [f"without {shorten(one)}" for one in field.before if one not in field.now]
        added = [f"with {shorten(one)}" for one in field.now if one not in field.before]
        if removed or added:
            return f"{field.field}: {', '.join([*removed, *added])}"
    before = "left out" if field.kind == "added" else shorten(field.before)
    now = "left out" if field.kind == "left out" else shorten(field.now)
    return f"{field.field}: {before} → {now}"


def _data(data: DataChange) -> Iterator[str]:
    before = (data.before_train_rows, data.before_holdout_rows)
    same = before in ((None, None), (data.train_rows, data.holdout_rows))
    was = "" if same else f" (before: {before[0]} and {before[1]})"
    sizes = f"trained on {data.train_rows} rows, {data.holdout_rows} held out{was}"
    if not data.files:
        yield f"the same files; {sizes}"
    else:
        times = "" if data.first is None or data.last is None else f", event times {_span(data.first, data.last)}"
        yield f"{data_line(data)}{times}; {sizes}"
        yield _named([one.path for one in data.files])
    if data.refused:
        yield f"{_count(len(data.refused), 'file')} rejected: {_named(data.refused, '; ')}"


def data_line(data: DataChange) -> str:
    """How much came in."""
    labels = f", +{data.labels} labels" if data.labels else ""
    return f"{_count(len(data.files), 'file')} more: +{data.rows} rows{labels}"


def _span(first: datetime, last: datetime) -> str:
    return f"{moment(first).removesuffix(' UTC')} to {moment(last)}"


def _drift(drift: DriftSummary) -> str:
    return f"{drift.state} at {moment(drift.at)}: {'; '.join(drift.reasons)}"


def _code(code: CodeChange | None) -> Iterator[str]:
    if code is None:
        return
    commits = f"{_short(code.before)} → {_short(code.now)}" if code.before != code.now else _short(code.now)
    if not code.modules:
        moved = f" (commit {commits})" if code.before != code.now else ""
        yield f"nothing that a stage depends on{moved}"
        return
    yield f"{_named(code.modules)} (commit {commits})"
    yield from code.commits[:_MOST_NAMED]
    if len(code.commits) > _MOST_NAMED:
        yield f"… and {len(code.commits) - _MOST_NAMED} more commits"
    if not code.commits and code.before != code.now:
        yield "the subjects of the commits between are not known here"


def _short(commit: str) -> str:
    """A commit as people write it; that files were changed since is kept."""
    bare = commit.removesuffix("-dirty")
    return f"{bare[:10]}{' with changes since' if bare != commit else ''}" if commit else "not known"


def _packages(packages: Sequence[PackageChange] | None) -> Iterator[str]:
    if packages is None:
        return
    shown = [one for one in packages if one.matters] or list(packages[:_MOST_NAMED])
    for one in shown:
        yield f"{one.name} {one.before or 'not there'} → {one.now or 'not there'}"
    if len(packages) > len(shown):
        yield f"… and {_count(len(packages) - len(shown), 'package')} on which no stage depends by itself"
    if not packages:
        yield "the same"


def interval(improvement: Interval | None) -> tuple[str, str]:
    """An improvement and its interval, in two cells."""
    if improvement is None:
        return "–", "–"
    return signed(
        improvement.estimate
    ), f"{signed(improvement.low)} to {signed(improvement.high)} ({improvement.confidence:.0%})"


def signed(number: float) -> str:
    """An improvement; minus nothing is nothing."""
    return f"{number + 0.0:+.4g}"


def cost(one: Cost, money: float | None, currency: str) -> tuple[str, ...]:
    """Wall time, CPU time, memory, money, in four cells."""
    paid = "–" if money is None else f"{money:.{2 if money >= 1 else 6}f} {currency}"
    return f"{one.seconds:.1f} s", f"{one.cpu_seconds:.1f} s", f"{one.peak_mebibytes:.0f} MiB", paid


def stage_cost(one: StageCost, currency: str) -> tuple[str, ...]:
    """What a stage took, or who paid for it."""
    if one.paid_by:
        return one.stage, f"as of {one.paid_by}", "", "", ""
    return one.stage, *cost(one.cost, one.money, currency)


def _named(names: Sequence[str], between: str = ", ") -> str:
    more = f"{between}… and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return between.join(names[:_MOST_NAMED]) + more


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
