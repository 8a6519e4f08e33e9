"""The commands `perennial quarantine`: rejected rows and files are listed, shown, exported, readmitted, dropped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from configs.schema import PipelineConfig
from perennial.cli.render import ConsoleReporter, console, print_result
from perennial.reporting import quarantine as texts
from tasks.errors import DataRejectedError, UsageError
from tasks.quarantine import listing
from tasks.quarantine.entries import Quarantine, no_entries_error
from tasks.quarantine.select import EntryFilter, Selection
from tasks.records.data import Feed
from tasks.stores.settings import Settings

quarantine = typer.Typer(no_args_is_help=True, help="Rejected rows and files: list, show, export, readmit, drop.")

_Name = Annotated[str, typer.Argument(help="The pipeline's name.", show_default=False)]
_Ids = Annotated[list[str] | None, typer.Argument(help="Ids of entries; all that fit, left out.", show_default=False)]
_Batch = Annotated[str | None, typer.Option(help="Only of this batch: its id, or how that begins.")]
_Expectation = Annotated[str | None, typer.Option(help="Only rejected by an expectation with this text in its name.")]
_File = Annotated[str | None, typer.Option("--file", help="Only of files that this glob matches.")]
_Feed = Annotated[Feed | None, typer.Option(help="Only of this feed.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


@quarantine.command("list")
def list_(
    name: _Name,
    batch: _Batch = None,
    expectation: _Expectation = None,
    file: _File = None,
    feed: _Feed = None,
    every: Annotated[bool, typer.Option("--all", help="Also what was readmitted, dropped or came in later.")] = False,
    rows: Annotated[
        bool, typer.Option("--rows", help="Entries one by one instead of by file and expectation.")
    ] = False,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="Recorded duplicates instead.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="With --rows: how many.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="With --rows: how many newer ones are left out.")] = 0,
    as_json: _AsJson = False,
) -> None:
    """List what waits in quarantine, newest first."""
    _, _, found, chosen = _open(name, Selection(batch=batch, expectation=expectation, file=file, feed=feed))
    if duplicates:
        doubles = listing.recorded_duplicates(found, chosen)
        value: dict[str, Any] = {"duplicates": [one.model_dump(mode="json") for one in doubles]}
        text = texts.duplicates(name, doubles)
    elif rows:
        page = listing.entry_page(found, chosen, limit, offset, resolved=every)
        entries = [one.model_dump(mode="json") for one in page.entries]
        value, text = {"entries": entries, "total": page.total, "offset": offset}, texts.entries(name, page, offset)
    else:
        groups = listing.entry_groups(found, chosen, resolved=every)
        dropped = found.dropped(chosen) if every else []
        waits = listing.open_in_groups(groups)
        value = {
            "open": {"rows": waits.rows, "files": waits.files},
            "groups": [one.model_dump(mode="json") for one in groups],
            "dropped": [one.model_dump(mode="json") for one in dropped],
        }
        text = texts.groups(name, groups, dropped)
    print_result(as_json, {"pipeline": name, **value}, text)


@quarantine.command()
def show(
    name: _Name,
    entry: Annotated[str, typer.Argument(help="An entry's id.", show_default=False)],
    as_json: _AsJson = False,
) -> None:
    """Show everything about one entry: where it was, why it was rejected, its cells, what became of it."""
    from tasks.quarantine.show import entry_detail

    config, settings, found, _ = _open(name, Selection())
    one = entry_detail(config, settings, found, entry)
    print_result(as_json, {"pipeline": name, **one.model_dump(mode="json")}, texts.detail(one))


@quarantine.command()
def export(
    name: _Name,
    to: Annotated[Path, typer.Option(help="The file: .csv or .jsonl.", show_default=False)],
    entries: _Ids = None,
    batch: _Batch = None,
    expectation: _Expectation = None,
    file: _File = None,
    feed: _Feed = None,
    as_json: _AsJson = False,
) -> None:
    """Write rejected rows to a file, to be repaired and readmitted."""
    from tasks.quarantine.export import describe_export
    from tasks.quarantine.export import export as write

    wanted = Selection(entries=tuple(entries or ()), batch=batch, expectation=expectation, file=file, feed=feed)
    config, _, found, chosen = _open(name, wanted)
    done = write(config, found, chosen, to)
    value = {"pipeline": name, "file": str(to), "rows": done.rows, "files": list(done.files), "blurred": done.ambiguous}
    print_result(as_json, value, "\n".join(describe_export(done, name, to)))


@quarantine.command()
def readmit(
    name: _Name,
    entries: _Ids = None,
    batch: _Batch = None,
    expectation: _Expectation = None,
    landed: Annotated[str | None, typer.Option(help="Only of files that this glob matches.")] = None,
    feed: _Feed = None,
    repaired: Annotated[
        Path | None, typer.Option("--file", help="A repaired file: an export with repaired cells, or one with --of.")
    ] = None,
    of: Annotated[str | None, typer.Option(help="The rejected file that --file stands for: its id.")] = None,
    as_json: _AsJson = False,
) -> None:
    """Readmit entries: validate them by the present contract; or a file in which a person repaired them."""
    from flows.context import open_pipeline
    from perennial.ops.session import prefect_session
    from tasks.progress import reporting

    wanted = Selection(entries=tuple(entries or ()), batch=batch, expectation=expectation, file=landed, feed=feed)
    _check(repaired, of, wanted)
    _, settings = open_pipeline(name)
    with reporting(ConsoleReporter(console())), prefect_session(settings, "flows.quarantine"):
        from flows.quarantine import readmit as flow

        report = flow(name, wanted, repaired.absolute() if repaired else None, of)
    value = {**report.model_dump(mode="json"), "counts": dict(report.counts)}
    print_result(as_json, value, texts.readmitted(report))
    if report.rejected:
        raise typer.Exit(DataRejectedError.exit_code)


@quarantine.command()
def drop(
    name: _Name,
    entries: _Ids = None,
    batch: _Batch = None,
    expectation: _Expectation = None,
    file: _File = None,
    feed: _Feed = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    why: Annotated[str, typer.Option(help="Why, for whoever asks later.")] = "",
    as_json: _AsJson = False,
) -> None:
    """Drop entries: what they were, and why, is kept; their values are deleted."""
    from perennial.ops.session import prefect_session
    from tasks.progress import reporting

    wanted = Selection(entries=tuple(entries or ()), batch=batch, expectation=expectation, file=file, feed=feed)
    if wanted.everything:
        raise UsageError("Say which entries are to be dropped: ids, --batch, --expectation, --file or --feed.")
    _, settings, found, chosen = _open(name, wanted)
    waits = listing.open_entries(found, chosen)
    if not waits.entries:
        raise no_entries_error(name, wanted)
    if not yes and not _sure(f"{name}: {waits.description} would be dropped, their values deleted. Go on?"):
        print_result(as_json, {"pipeline": name, "rows": 0, "files": 0}, f"{name}: nothing was dropped")
        return
    with reporting(ConsoleReporter(console())), prefect_session(settings, "flows.quarantine"):
        from flows.quarantine import drop as flow

        done = flow(name, wanted, waits.entries, why)
    value = {"pipeline": name, "rows": done.rows, "files": done.files}
    print_result(as_json, value, f"{name}: {done.description} dropped")


def _open(name: str, wanted: Selection) -> tuple[PipelineConfig, Settings, Quarantine, EntryFilter]:
    from flows.context import open_pipeline
    from tasks.stores.lake.tables import Lake

    config, settings = open_pipeline(name)
    found = Quarantine(Lake(settings, config))
    return config, settings, found, found.resolve(wanted)


def _check(repaired: Path | None, of: str | None, wanted: Selection) -> None:
    if repaired is None and of is not None:
        raise UsageError("--of says which rejected file --file stands for: give --file, too.")
    if repaired is None:
        return
    if not wanted.everything:
        raise UsageError("--file gives back what the file holds: no ids, --batch, --expectation, --landed or --feed.")
    if not repaired.is_file():
        raise UsageError(
            f"--file: {repaired} is no file; expected a repaired one. To choose entries by the name of their landed "
            "file, use --landed GLOB."
        )


def _sure(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(f"{question.removesuffix(' Go on?')} Nobody is there to be asked: say --yes.")
    return typer.confirm(question, err=True)
