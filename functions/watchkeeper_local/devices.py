"""`watchkeeper devices`: which devices a running Watchkeeper knows, how good their readings are, who is silent."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from watchkeeper_local.columns import columns, moment, one_line
from watchkeeper_local.node import clock
from watchkeeper_local.status import fetch

PAGE = 1000
HEAD = ("id", "class", "site", "metrics", "quality", "last seen", "silent for")
UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


def show_devices(url: str, api_key: str | None, *, as_json: bool) -> int:
    """Print all devices, for people or as JSON. Unavailable: no Watchkeeper answers there."""
    found = list_devices(url, api_key)
    now = clock()
    if as_json:
        print(json.dumps([device | {"silent_ms": max(0, now - device["last_seen"])} for device in found], indent=1))
        return 0
    rows = [
        (
            device["device"], device["device_class"], device["site"] or "-", one_line(", ".join(device["metrics"])),
            share(device.get("quality")),
            moment(device["last_seen"]), duration(now - device["last_seen"]),
        )
        for device in found
    ]  # fmt: skip
    print(columns(HEAD, rows) if rows else "no device has sent anything yet")
    return 0


def list_devices(url: str, api_key: str | None) -> list[dict[str, Any]]:
    """All devices, page by page."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = fetch(url, f"/api/devices?{urlencode({'limit': PAGE, 'quality': 'true', 'after': after})}", api_key)
        found += page["devices"]
        after = page["next"]
        if not after:
            return found


def share(quality: float | None) -> str:
    """The share of readings that were good, as people read it; none yet is a dash."""
    return "-" if quality is None else f"{100 * quality:.1f} %"


def duration(ms: int) -> str:
    """A time that has passed, in its largest unit."""
    seconds = max(0, ms) / 1000
    for size, name in UNITS:
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"
