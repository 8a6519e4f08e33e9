"""What waits in quarantine after files came in."""

from __future__ import annotations

from tasks.context import StageContext
from tasks.quarantine.entries import Quarantine
from tasks.quarantine.listing import EntryGroup, entry_groups
from tasks.quarantine.select import EntryFilter
from tasks.stores.lake.tables import Lake


def open_entries(context: StageContext) -> list[EntryGroup]:
    """The open entries, by file and reason."""
    return entry_groups(Quarantine(Lake(context.settings, context.config)), EntryFilter())
