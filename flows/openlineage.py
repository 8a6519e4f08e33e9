"""OpenLineage events of a flow run: all of its stages tell of themselves by one channel."""

from __future__ import annotations

from contextlib import AbstractContextManager

from prefect.runtime import flow_run

from flows.progress import say
from tasks.stores.lineage.emitter import channel
from tasks.stores.settings import Settings


def lineage_run(settings: Settings, pipeline: str) -> AbstractContextManager[None]:
    """Tell of the block's stages as parts of this flow run; in a flow that another calls, as parts of that one."""
    parent = (str(flow_run.id), str(flow_run.flow_name)) if flow_run.id else None
    return channel(settings, pipeline, parent, say)
