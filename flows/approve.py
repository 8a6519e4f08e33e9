"""A person's answer, given in the form of Prefect's UI."""

from __future__ import annotations

from typing import Annotated, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import StringConstraints

from flows.context import stage_context
from tasks.errors import PerennialError
from tasks.events import emit
from tasks.release.approval_decision import event_payload, record_decision, summary
from tasks.stores.state.approvals import ApprovalRequest
from tasks.stores.state.tokens import Person

# The UI has no users of its own: whoever can open it can send the form.
_FORM = Person("Prefect UI", verified=False)


@flow(name="approve", flow_run_name="approve-{pipeline}")
def approve(
    pipeline: str,
    version: int,
    decision: Literal["approve", "reject"],
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)],
) -> State[ApprovalRequest]:
    """Write down whether a version that waits may become champion. Nothing is answered by default.

    The answer is carried out by the run of deploy that follows.

    Args:
        pipeline: The pipeline's name.
        version: The version that waits for an answer.
        decision: May this version become champion?
        reason: Why, for whoever asks later.
    """
    try:
        with stage_context(pipeline, tables=False) as context:
            answered = record_decision(context.config, context.settings, version, decision, reason, _FORM)
    except PerennialError as error:
        return Failed(message=str(error), data=error)
    emit(context, "perennial.approval.answered", event_payload(answered))
    return Completed(name="Approved" if decision == "approve" else "Rejected", message=summary(answered), data=answered)
