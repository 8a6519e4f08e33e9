"""The demo: some months of a simulated city, played through the real flows in one process."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from rich.console import Console

from examples.breast_cancer.land import land
from examples.transit.simulate import Scenario, land_arrivals, land_delays
from flows.context import open_pipeline
from perennial.cli.render import ConsoleReporter, console, table
from perennial.ops.session import prefect_session
from tasks.progress import reporting
from tasks.records.report import LifecycleReport
from tasks.stores.settings import Settings, load_settings

PIPELINE = "transit_delay"
_FIRST_DAY = date(2026, 1, 5)
_DETOUR = _FIRST_DAY + timedelta(days=49)
_SCENARIO = Scenario(seed=7, trips_per_day=300, detour_from=_DETOUR)


@dataclass
class _Play:
    """The demo as it goes: what happened, act by act."""

    settings: Settings
    console: Console
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def land(self, first: int, days: int, *, labels: bool = True, scenario: Scenario = _SCENARIO) -> None:
        """Let days land, counted from the first, with their labels."""
        folder = Path(self.settings.landing(PIPELINE))
        start = _FIRST_DAY + timedelta(days=first)
        land_arrivals(scenario, start, days, folder / "arrivals")
        if labels:
            land_delays(scenario, start, days, folder / "delays")

    def act(self, title: str, day: int, prepare: Callable[[], None]) -> LifecycleReport:
        """Land something, run the lifecycle as of that day, keep what came of it."""
        from flows.lifecycle import lifecycle

        self.console.print(f"\n[bold]{title}[/]", highlight=False)
        prepare()
        now = datetime.combine(_FIRST_DAY + timedelta(days=day), datetime.min.time(), UTC)
        report = lifecycle(PIPELINE, now)
        self.rows.append((title, *_told(report)))
        return report


def play() -> None:
    """Play the demo in a home of its own below PERENNIAL_HOME, made anew each time: nothing else is touched."""
    started = time.monotonic()
    home = load_settings().root / "demo"
    shutil.rmtree(home, ignore_errors=True)
    for name in [name for name in os.environ if name.startswith("PERENNIAL_")]:
        del os.environ[name]
    os.environ["PERENNIAL_HOME"] = str(home)
    settings = load_settings()
    message = console()
    open_pipeline(PIPELINE)
    message.print(f"Simulated data, home {home}", highlight=False)
    with reporting(ConsoleReporter(message)), prefect_session(settings, "flows.lifecycle"):
        demo = _Play(settings, message)
        _acts(demo)
        _score(demo)
        _real(demo)
    message.print()
    head = ("what happened", "outcome", "champion", "candidate", "champion before", "rows in", "rejected", "drift")
    sys.stdout.write(table([head, *demo.rows]) + "\n" + _where(settings, time.monotonic() - started))


def _acts(demo: _Play) -> None:
    demo.act("4 weeks land", 28, lambda: demo.land(0, 28))
    demo.act("3 more weeks", 49, lambda: demo.land(28, 21))
    corrupt = replace(_SCENARIO, corrupt_on=_FIRST_DAY + timedelta(days=49))
    demo.act("a corrupt file", 50, lambda: demo.land(49, 1, labels=False, scenario=corrupt))
    demo.act("a detour, no labels yet", 57, lambda: demo.land(50, 7, labels=False))
    demo.act("its labels, 2 weeks more", 71, lambda: _detour_labels(demo))


def _detour_labels(demo: _Play) -> None:
    start = _FIRST_DAY + timedelta(days=50)
    land_delays(_SCENARIO, start, 7, Path(demo.settings.landing(PIPELINE)) / "delays")
    demo.land(57, 14)


def _score(demo: _Play) -> None:
    """Score a file by hand, as `perennial score` does."""
    from flows.score import score

    demo.console.print("\n[bold]tomorrow's arrivals are scored[/]", highlight=False)
    folder = demo.settings.root
    tomorrow = land_arrivals(_SCENARIO, _FIRST_DAY + timedelta(days=71), 1, folder)[0]
    output = folder / "scored.csv"
    report = score(PIPELINE, str(tomorrow), str(output))
    demo.rows.append(("tomorrow is scored", f"{report.rows} rows", f"version {report.version}", *["–"] * 5))


def _real(demo: _Play) -> None:
    """A second pipeline, on real data that come with scikit-learn."""
    from flows.lifecycle import lifecycle

    demo.console.print("\n[bold]real data: breast_cancer lands[/]", highlight=False)
    land(Path(demo.settings.landing("breast_cancer")))
    demo.rows.append(("real data: breast_cancer", *_told(lifecycle("breast_cancer"))))


def _told(report: LifecycleReport) -> tuple[str, ...]:
    metric = "mae" if report.pipeline == PIPELINE else "log_loss"

    def number(metrics: dict[str, float]) -> str:
        return f"{metric} {metrics[metric]:.2f}" if metric in metrics else "–"

    champion = "none" if report.champion is None else f"version {report.champion}"
    batches = report.ingest.batches
    refused = sum(one.quarantined for one in batches)
    whole = f" + {len(report.ingest.rejected)} file" if report.ingest.rejected else ""
    return (
        report.outcome,
        champion,
        number(report.metrics),
        number(report.champion_metrics),
        str(sum(one.accepted for one in batches if one.feed == "observations")),
        f"{refused}{whole}",
        "–" if report.drift is None else report.drift.state,
    )


def _where(settings: Settings, seconds: float) -> str:
    home, tools = _short(settings.root), _short(Path(sys.executable).parent)
    mlflow = f"{tools}/mlflow server --backend-store-uri {settings.tracking_uri} --port 5000"
    return f"""
{seconds:.0f} s. Where to look:
  files and verdicts   PERENNIAL_HOME={home} {tools}/perennial status {PIPELINE}
  scored arrivals      {home}/scored.csv
  runs and artifacts   PREFECT_HOME={home}/prefect {tools}/prefect server start
  models and metrics   MLFLOW_DISABLE_TELEMETRY=true {mlflow}
"""


def _short(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
