"""The command `perennial reproduce`: rebuild a version, and prove that it is equal."""

from __future__ import annotations

from typing import Annotated

import typer

from perennial.cli.render import ConsoleReporter, console, print_result
from perennial.cli.render import table as aligned
from tasks.errors import UsageError
from tasks.training.reproduction import Reproduction, headline, remedies, rows

Address = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@VERSION|@champion]", help="A pipeline and its version; alone, the champion.", show_default=False
    ),
]


def reproduce(
    address: Address,
    in_place_env: Annotated[
        bool, typer.Option("--in-place-env", help="Never make another environment: refuse where packages differ.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Rebuild a version from its lineage, and report whether it is equal or what differs. Exit code 0: all is equal."""
    from flows.context import open_home
    from perennial.ops.session import prefect_session
    from tasks.progress import reporting
    from tasks.stores.registry.artifacts import require_registry

    name, version = _asked(address)
    settings = open_home()
    require_registry(settings)
    with reporting(ConsoleReporter(console())), prefect_session(settings, "flows.reproduce"):
        from flows.reproduce import reproduce as flow

        found = flow(name, version, in_place_env)
    value = {**found.model_dump(mode="json"), "equal": found.equal}
    print_result(as_json, value, text(found))
    if not found.equal:
        raise typer.Exit(1)


def text(found: Reproduction) -> str:
    """The record for people."""
    where = [f"  in {found.environment}"] if found.environment else []
    return "\n".join([headline(found), *where, aligned(rows(found)), *remedies(found)])


def _asked(address: str) -> tuple[str, int | None]:
    """The pipeline and the version; None for the champion.

    Raises:
        UsageError: it is neither a number nor `champion` after the @.
    """
    name, at, what = address.partition("@")
    if not at or what == "champion":
        return name, None
    if not (what.isascii() and what.isdigit()):
        raise UsageError(f"{address}: found {what!r} after the @; expected a version, such as @3, or @champion.")
    return name, int(what)
