"""What flows tell the world: events, by way of the outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from prefect.runtime import flow_run
from pydantic import JsonValue

from flows.progress import say
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


def emit(settings: Settings, event: EventName, pipeline: str, payload: Mapping[str, JsonValue]) -> None:
    """Say that something happened. It is kept before it is sent; what can't be sent now, the sweep sends later."""
    outbox = Outbox(settings)
    followed = _followed.get() and event not in _OTHERS
    outbox.put(event, pipeline, payload, followed=followed, flow_run=str(flow_run.id or ""))
    sent = outbox.send()
    if sent.problem:
        say(f"{event} is kept and sent later: {sent.problem}")


def teller(settings: Settings, pipeline: str) -> Callable[[EventName, Mapping[str, JsonValue]], None]:
    """What tells a pipeline's events, for those who move its aliases."""

    def tell(event: EventName, payload: Mapping[str, JsonValue]) -> None:
        emit(settings, event, pipeline, payload)

    return tell
