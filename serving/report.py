"""Versions that can't be served, told where people look: the audit, and Prefect's events by way of the outbox."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime

from pydantic import JsonValue

from tasks.stores.audit import SERVING_REFUSED
from tasks.stores.settings import Settings

_log = logging.getLogger("perennial.serving")


def report(settings: Settings, pipeline: str, version: int, alias: str, reason: str) -> None:
    """Tell that a version was refused, once for the same reason. What can't be told is in the log at least."""
    from sqlalchemy.exc import SQLAlchemyError

    from tasks.errors import PerennialError
    from tasks.stores.audit import Audit
    from tasks.stores.outbox import Outbox

    details: dict[str, JsonValue] = {"version": version, "alias": alias, "host": os.uname().nodename}
    try:
        audit = Audit(settings)
        known = [(one.details, one.reason) for one in audit.entries(pipeline, SERVING_REFUSED)]
        if (details, reason) in known:
            return
        now = datetime.now(UTC)
        audit.write(pipeline, SERVING_REFUSED, "done", at=now, actor="serving", reason=reason, details=details)
        outbox = Outbox(settings)
        outbox.put("perennial.model.refused", pipeline, {**details, "reason": reason})
        outbox.send()  # what can't be sent now, the sweep sends
    except (SQLAlchemyError, PerennialError, OSError) as error:
        _log.warning("not told", extra={"pipeline": pipeline, "version": version, "problem": str(error)[:300]})
