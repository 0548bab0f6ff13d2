"""An alert as dashboards are given it: by request, and by a push."""

import msgspec

from watchkeeper.records import Acknowledgement, Alert


class AlertEntry(Alert, frozen=True, tag=False, omit_defaults=False):
    """An alert as it is now."""

    acknowledged_at: int | None = None
    note: str = ""


def acknowledged(entry: AlertEntry, seen: Acknowledgement | None) -> AlertEntry:
    """The entry with who has seen it, if anybody has."""
    if seen is None:
        return entry
    return msgspec.structs.replace(entry, acknowledged_by=seen.by, acknowledged_at=seen.ts, note=seen.note)
