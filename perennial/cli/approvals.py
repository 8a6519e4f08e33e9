"""The commands with which a person answers: approve, reject, and token, which proves who answers."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from perennial.cli.render import print_result
from tasks.stores.settings import Settings, load_settings, prepare
from tasks.stores.state.approvals import ApprovalRequest, Decision

Address = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@VERSION]", help="The pipeline and its version; alone, the one that waits.", show_default=False
    ),
]
Reason = Annotated[str, typer.Option(help="Why, for whoever asks later.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def approve(address: Address, reason: Reason, as_json: AsJson = False) -> None:
    """Approve a version that waits; it becomes champion if the champion is still the one it was compared with."""
    _answer(address, "approve", reason, as_json)


def reject(address: Address, reason: Reason, as_json: AsJson = False) -> None:
    """Reject a version that waits; the champion stays."""
    _answer(address, "reject", reason, as_json)


def token(
    name: Annotated[str, typer.Argument(help="The person.", show_default=False)],
    revoke: Annotated[bool, typer.Option("--revoke", help="Make the person's token worthless instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a personal token, which proves who approves; an older one of the person is revoked."""
    from tasks.stores.runtime import actor, clock
    from tasks.stores.state.tokens import TokenStore

    settings = load_settings()
    prepare(settings)
    people = TokenStore(settings)
    if revoke:
        people.revoke(name, at=clock(None), actor=actor())
        print_result(as_json, {"person": name, "revoked": True}, f"the token of {name} is revoked")
        return
    made = people.make_token(name, at=clock(None), actor=actor())
    sys.stderr.write(f"The token of {name}, shown this once. Keep it secret; use it as PERENNIAL_TOKEN.\n")
    print_result(as_json, {"person": name, "token": made}, made)


def _answer(address: str, decision: Decision, reason: str, as_json: bool) -> None:
    from flows.context import open_pipeline
    from tasks.release.approval_decision import event_payload, parse, record_decision, summary
    from tasks.stores.state.tokens import person

    name, version = parse(address)
    config, settings = open_pipeline(name)
    answered = record_decision(config, settings, version, decision, reason, person(settings))
    message = f"{summary(answered)}\n  {_tell(settings, answered)}"
    print_result(as_json, {"pipeline": name, **event_payload(answered)}, message)


def _tell(settings: Settings, request: ApprovalRequest) -> str:
    """Tell Prefect, if it is there; who carries the answer out, in words."""
    from perennial.ops.running import running
    from tasks.release.approval_decision import event_payload
    from tasks.stores.state.outbox import Outbox

    outbox = Outbox(settings)
    outbox.put("perennial.approval.answered", request.pipeline, event_payload(request))
    here = None if os.environ.get("PREFECT_API_URL") else running(settings)
    sent = outbox.send(here.api if here else None)
    if sent.problem:
        return f"carried out by the next `perennial run {request.pipeline}`, or the next sweep ({sent.problem})"
    return "Prefect is notified, and its worker carries it out"
