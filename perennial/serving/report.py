"""Versions that can't be served, reported where people look: the audit, and Prefect's events by way of the outbox."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from tasks.stores.settings import Settings

_log = logging.getLogger("perennial.serving")
_RECENT = timedelta(minutes=1)


def report_rejected(settings: Settings, pipeline: str, version: int, alias: str, reason: str, *, fetched: bool) -> None:
    """Tell that a version was refused, once for several processes. What can't be determined is in the log at least.

    Args:
        settings: Where the state is.
        pipeline: Its name.
        version: The version.
        alias: What pointed to it.
        reason: Why.
        fetched: Whether its files were there. If not, nothing is known of the version itself.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from tasks.errors import PerennialError
    from tasks.stores.state.audit import SERVING_REFUSED, Audit
    from tasks.stores.state.outbox import Outbox

    details: dict[str, JsonValue] = {"version": version, "alias": alias, "host": os.uname().nodename}
    details["fetched"] = fetched
    now = datetime.now(UTC)
    try:
        audit = Audit(settings)
        recent = [one for one in audit.entries(pipeline, SERVING_REFUSED) if one.at > now - _RECENT]
        if (details, reason) in [(one.details, one.reason) for one in recent]:
            return
        audit.write(pipeline, SERVING_REFUSED, "done", at=now, actor="serving", reason=reason, details=details)
        outbox = Outbox(settings)
        outbox.put("perennial.model.refused", pipeline, {**details, "reason": reason})
        outbox.send()  # what can't be sent now, the sweep sends
    except (SQLAlchemyError, PerennialError, OSError) as error:
        _log.warning(
            "a rejected version can't be reported",
            extra={"pipeline": pipeline, "version": version, "problem": str(error)[:300]},
        )
