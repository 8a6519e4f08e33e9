"""Tables that several pages show, in markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasks.records.decision import GateResult


def metric_table(
    metrics: Mapping[str, float],
    champion: Mapping[str, float],
    baseline: Mapping[str, float],
    champion_title: str = "champion",
) -> list[str]:
    """Lines of a candidate's metrics beside the champion's and the baseline's; – where there is none."""
    lines = [f"| metric | candidate | {champion_title} | baseline |", "| --- | ---: | ---: | ---: |"]
    for name, number in metrics.items():
        rivals = (champion.get(name), baseline.get(name))
        cells = " | ".join("–" if one is None else f"{one:.4g}" for one in rivals)
        lines.append(f"| {name} | {number:.4g} | {cells} |")
    return lines


def gate_table(gates: Sequence[GateResult]) -> list[str]:
    """Lines of the gates and what each found."""
    rows = [f"| {one.code} {cell(one.title)} | **{one.outcome}** | {cell(one.reason)} |" for one in gates]
    return ["| gate | outcome | reason |", "| --- | --- | --- |", *rows]


def cell(text: str) -> str:
    """Text that can't end a cell of a table, or its row."""
    return " ".join(text.replace("|", r"\|").split())
