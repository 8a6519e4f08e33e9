"""`perennial report` after a story of three candidates: what it says, links and draws is what the stores know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from perennial.reporting import candidate_page, plots
from perennial.reporting.candidate import PipelineCandidateReport, read
from tests.support.command import Cli
from tests.support.world import ROOT, World, trips

NAME = "told"


@pytest.fixture(scope="module")
def story(module_world: World) -> World:
    """A first champion, a candidate that wins on drifted data, a refused file, and one that a bound turns down."""
    module_world.pipeline(NAME, {"retrain": {"new_rows": 100}})
    module_world.land(NAME, "a.csv", trips(0, 300, seed=1, weak=True))
    assert module_world.run(NAME).outcome == "promoted"
    module_world.land(NAME, "b|c.csv", trips(300, 400, seed=2, shift=4.0))
    module_world.land(NAME, "bad.csv", "id,at\n1,not a time\n")
    assert module_world.run(NAME).outcome == "promoted"
    bound = {"retrain": {"new_rows": 100}, "evaluation": {"bounds": [{"metric": "mae", "maximum": 0.0001}]}}
    module_world.pipeline(NAME, bound)
    module_world.land(NAME, "d.csv", trips(700, 300, seed=3))
    assert module_world.run(NAME).outcome == "kept_champion"
    return module_world


def svg(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314  # our own drawing


def told(world: World, version: int | None = None) -> PipelineCandidateReport:
    return read(world.config(NAME), world.settings, version)


def test_the_newest_candidate_stands_beside_champion_and_baseline(story: World) -> None:
    report = told(story)
    candidate = report.candidate
    assert candidate is not None
    assert (candidate.version, candidate.outcome, report.champion, candidate.compared_with) == (
        3,
        "kept_champion",
        2,
        2,
    )
    page = candidate_page.markdown(report)
    assert page.startswith(f"## {NAME}: version 3, kept champion\n")
    assert "| metric | candidate | champion (version 2) | baseline |" in page
    shown = [f"{one['mae']:.4g}" for one in (candidate.metrics, candidate.champion_metrics, candidate.baseline)]
    assert "| mae | " + " | ".join(shown) + " |" in page
    assert "Q01" in candidate.reason
    assert next(iter(candidate.metrics)) == "mae"


def test_a_version_is_told_with_the_data_that_were_new_to_it(story: World) -> None:
    report = told(story, 2)
    assert report.candidate is not None
    data = report.candidate.data
    assert (data.files, data.rows) == (("b|c.csv",), 400)
    assert [one.split(":")[0] for one in told(story, 1).candidate.data.files] == ["a.csv"]  # type: ignore[union-attr]
    assert [one.split(":")[0] for one in data.refused + told(story).candidate.data.refused] == ["bad.csv"]  # type: ignore[union-attr]


def test_names_of_files_cannot_break_the_page(story: World) -> None:
    assert r"b\|c.csv" in candidate_page.markdown(told(story, 2))


def test_an_unknown_version_is_a_wrong_use(story: World, cli: Cli) -> None:
    said = cli("report", NAME, "--version", "9")
    assert (said.code, said.out) == (2, "")
    assert said.err == f"perennial: {NAME} has no version 9; known here: 1, 2, 3. Leave --version out for the newest.\n"


def test_markdown_and_json_are_one_thing_each(story: World, cli: Cli) -> None:
    assert cli("report", NAME, "--json", "--markdown").code == 2
    assert cli("report", NAME, "--json", "--version", "1").json()["candidate"]["outcome"] == "promoted"
    plain = cli("report", NAME)
    assert plain.code == 0
    assert plain.out.startswith(f"{NAME}: version 3, kept champion\n")


def test_without_a_server_the_link_is_the_file_itself(story: World) -> None:
    (link,) = told(story).links
    assert Path(link.target).read_text(encoding="utf-8").startswith(f"# {NAME}: rejected")


def test_with_a_server_the_links_are_its_pages(story: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_MLFLOW_URL", "http://mlflow.test:5000/")
    from flows.context import open_pipeline

    report = read(*open_pipeline(NAME))
    run = report.candidate.run_id if report.candidate else ""
    assert [one.target for one in report.links] == [
        f"http://mlflow.test:5000/#/runs/{run}",
        f"http://mlflow.test:5000/get-artifact?path=verdict.md&run_uuid={run}",
        f"http://mlflow.test:5000/#/models/{NAME}/versions/3",
    ]


def test_plots_are_drawn_and_linked(story: World, cli: Cli, tmp_path: Path) -> None:
    said = cli("report", NAME, "--markdown", "--plots", str(tmp_path / "plots"))
    assert said.code == 0
    for name in ("metric.svg", "drift.svg"):
        path = tmp_path / "plots" / name
        assert f"(<{path}>)" in said.out
        assert svg(path.read_text("utf-8")).tag.endswith("svg")
    marks = svg((tmp_path / "plots" / "metric.svg").read_text("utf-8")).iter("{http://www.w3.org/2000/svg}circle")
    assert len(list(marks)) == 8  # three candidates, three baselines, and the two champions they met


def test_a_folder_that_cannot_be_written_is_told(story: World, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = cli("report", NAME, "--plots", str(tmp_path / "file" / "below"))
    assert said.code == 2
    assert "can't be written" in said.err


def test_equal_numbers_and_missing_ones_can_be_drawn(story: World) -> None:
    from perennial.reporting.candidate import Point

    flat = [Point(label="1", candidate=0.0, champion=None, baseline=0.0)] * 40
    svg(plots.metric_plot("<&>", "mae", flat))
    svg(plots.metric_plot("p", "mae", [flat[0].model_copy(update={"candidate": None, "baseline": None})]))


def test_before_any_candidate_the_report_says_so(world: World, cli: Cli) -> None:
    world.pipeline("fresh")
    said = cli("report", "fresh", "--markdown")
    assert said.code == 0
    assert "No candidate has been evaluated yet" in said.out


def test_a_report_costs_no_heavy_import() -> None:
    modules = "perennial.cli.main, perennial.reporting.candidate_page, perennial.reporting.plots"
    code = f"import {modules}, sys; print(*(sorted(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"prefect", "mlflow", "pandas", "sklearn"} & set(loaded.split())
