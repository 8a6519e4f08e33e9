"""A version is rolled back from Prefect's UI."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.context import stage_context
from tasks.errors import PerennialError
from tasks.release.rollback import Rollback
from tasks.release.rollback_request import request_rollback, summary
from tasks.release.stage import release_context
from tasks.release.task import publish_rollback
from tasks.stores.state.tokens import Person

# The UI has no users of its own: whoever can open it can send the form.
_FORM = Person("Prefect UI", verified=False)


@flow(name="rollback", flow_run_name="rollback-{pipeline}")
def rollback(pipeline: str, version: int | None = None, reason: str = "") -> State[Rollback]:
    """Roll back the version that is rolled out; if there is none, the champion, for the latest earlier good one.

    Args:
        pipeline: The pipeline's name.
        version: The version that is to be champion; left out, the latest earlier one that was not rolled back.
        reason: Why, for whoever asks later.
    """
    try:
        with stage_context(pipeline, tables=False) as context:
            send = release_context(context).emit
            back = request_rollback(context.config, context.settings, version, reason, _FORM, send)
            publish_rollback(context.config, back)
    except PerennialError as error:
        return Failed(message=str(error), data=error)
    return Completed(name="Rolled back", message=summary(back), data=back)
