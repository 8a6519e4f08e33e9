"""Events of a pipeline: written to the outbox, then sent to Prefect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from pydantic import JsonValue

from tasks.context import StageContext
from tasks.progress import say
from tasks.stores.state.outbox import EventName, Outbox

# What a run does not go on with by itself, whatever it does.
_OTHERS: tuple[EventName, ...] = ("perennial.rollout.started",)
_followed: ContextVar[bool] = ContextVar("followed", default=False)


@contextmanager
def following() -> Iterator[None]:
    """Events of the block start nothing: the run goes on with what follows by itself."""
    token = _followed.set(True)
    try:
        yield
    finally:
        _followed.reset(token)


def emit(context: StageContext, event: EventName, payload: Mapping[str, JsonValue]) -> None:
    """Keep an event of a pipeline, durably, and send it. What can't be sent now, the sweep sends later.

    Args:
        context: Says whose it is, and with which flow run it is shown.
        event: Its name.
        payload: For people.
    """
    outbox = Outbox(context.settings)
    followed = _followed.get() and event not in _OTHERS
    outbox.put(event, context.pipeline, payload, followed=followed, flow_run=context.flow_run)
    sent = outbox.send()
    if sent.problem:
        say(f"{event} is kept and sent later: {sent.problem}")
