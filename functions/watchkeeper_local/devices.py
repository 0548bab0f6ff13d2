"""`watchkeeper devices`: which devices a running Watchkeeper knows, how good their readings are, who is silent.

Of one that is named it shows how the model is set for it.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

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


def show_device(url: str, api_key: str | None, name: str, *, as_json: bool) -> int:
    """Print how the model is set for a device. Unavailable: no Watchkeeper answers there, or knows no such device."""
    told = fetch(url, f"/api/devices/{quote(name, safe='')}/calibration", api_key)
    if as_json:
        print(json.dumps(told, indent=1))
        return 0
    warming = f"warms up until it has more than {told['warm_readings']}" if told["warming"] else "is judged"
    print(
        f"{one_line(told['device'])}, of class {one_line(told['device_class'])}: {told['readings']} readings, {warming}"
    )
    if told["bar"] is not None:
        print(
            f"heard every {duration(round(told['interval_ms']))}; an episode opens at {told['bar']:.1f} nats of one "
            f"metric, {told['joint_bar']:.1f} of all together (class x{told['class_factor']:.2f}), "
            f"{told['raised']:.0%} more for now"
        )
    print(
        f"{told['observed']} episodes opened in {told['weeks']:.1f} weeks{', one is open' if told['is_open'] else ''}; "
        f"the target of {told['target_a_week']:g} a week explains {told['expected']:.1f} of them"
    )
    print(f"not scored: {one_line(', '.join(told['unscored'])) or 'none'} (scored metrics: {len(told['scored'])})")
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
