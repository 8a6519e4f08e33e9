"""Events of a pipeline: written to the outbox, then sent to Prefect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from pydantic import JsonValue

from tasks.progress import say
from tasks.stores.settings import Settings
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


def emit(
    settings: Settings, event: EventName, pipeline: str, payload: Mapping[str, JsonValue], flow_run: str = ""
) -> None:
    """Keep an event, durably, and send it. What can't be sent now, the sweep sends later.

    Args:
        settings: Where the outbox is.
        event: Its name.
        pipeline: Whose.
        payload: For people.
        flow_run: Id of the flow run that it is shown with.
    """
    outbox = Outbox(settings)
    followed = _followed.get() and event not in _OTHERS
    outbox.put(event, pipeline, payload, followed=followed, flow_run=flow_run)
    sent = outbox.send()
    if sent.problem:
        say(f"{event} is kept and sent later: {sent.problem}")
