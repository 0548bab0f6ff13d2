"""All that a run leaves behind as people come to see it, to be held against another run to the letter.

Where nothing goes wrong, every runtime takes the same batches at the same times of the simulated clock. So nothing
differs between two of them: what the API answers, what receivers were told, what is dead, and the states from which
each goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import asdict

from tests.simulator.results import dead_letters
from tests.simulator.scenario import START
from tests.simulator.world import PHONE
from watchkeeper.pipeline import PIPELINE
from watchkeeper.records import Delivery
from watchkeeper.states import read_envelope
from watchkeeper.topology import OUTBOX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulator.world import World
    from watchkeeper.ports import Ports

DAY_MS = 24 * 3_600_000
LISTS = ("devices", "alerts", "anomalies")
KEEPING = [stage.name for stage in PIPELINE if stage.state and stage.topics]
DYING = ["ingest", *KEEPING]
SINCE = f"from={START - 2 * DAY_MS}"  # yesterday's history, too


def view_of(world: World) -> dict[str, Any]:
    """By where it is seen: pages of the API, notes to the phone, dead letters, states."""
    seen = _pages(world)
    seen |= {f"told {number}": asdict(alert) for number, alert in enumerate(world.phone.alerts)}
    seen |= {f"delivery {delivery.id}": asdict(delivery) for delivery in _deliveries(world.ports)}
    seen |= {f"dead letter {letter.id}": asdict(letter) for letter in dead_letters(world.ports)}
    return seen | _states(world.ports)


def differences(is_: Mapping[str, Any], should: Mapping[str, Any]) -> list[str]:
    """What one view has otherwise than another, a line each."""
    found = []
    for where in sorted({*is_, *should}):
        if where not in is_ or where not in should:
            found.append(f"{where}: {'missing' if where in should else 'unexpected'}")
        elif is_[where] != should[where]:
            one, other = is_[where], should[where]
            found.append(f"{where}: is {_shown(one, other)}; should be {_shown(other, one)}")
    return found


def lacking(view: Mapping[str, Any]) -> list[str]:
    """Kinds of records that a day has none of: then nothing is known of them."""
    alerts, anomalies = view["/api/alerts?limit=1000"]["alerts"], view["/api/anomalies?limit=1000"]["anomalies"]
    reports = [each["report"] for each in anomalies if each.get("report")]
    pages = {where: page for where, page in view.items() if where.startswith("/api/devices/")}
    dead = {letter["stage"] for where, letter in view.items() if where.startswith("dead letter ")}
    kinds = {
        "a firing alert": any(each["status"] == "firing" for each in alerts),
        "a resolved alert": any(each["status"] == "resolved" for each in alerts),
        "an alert that pages nobody": any(not each["pages"] for each in alerts),
        "an open episode": any(each.get("closed") is None for each in anomalies),
        "a closed episode": any(each.get("closed") for each in anomalies),
        "an anomaly of a rule": any(each["detector"].startswith("rule:") for each in anomalies),
        "an anomaly of the model": any(each["detector"].startswith("model") for each in anomalies),
        "a silence": any(each["detector"].startswith("silence:") for each in anomalies),
        "a report by rules": any(each["written_by"] == "rules" for each in reports),
        "a report by a model": any(each["written_by"] == "writer-1" for each in reports),
        "a series": any(page["points"] for where, page in pages.items() if "/series?" in where),
        "a forecast": any(page["metrics"] for where, page in pages.items() if where.endswith("/forecast")),
        "quality": any(page["spans"] for where, page in pages.items() if "/quality?" in where),
        "a schema": any(page.get("schemas") for page in pages.values()),
        "what was told": "told 0" in view,
        "a delivery": any(where.startswith("delivery ") for where in view),
        **{f"a dead letter of {stage}": stage in dead for stage in DYING},
        **{f"a state of {stage}": any(where.startswith(f"state/{stage}/") for where in view) for stage in KEEPING},
    }
    return [kind for kind, there in kinds.items() if not there]


def _pages(world: World) -> dict[str, Any]:
    lists = [f"/api/{name}?limit=1000" for name in LISTS]
    pages = dict(zip(lists, world.ask_all(lists), strict=True))
    assert not any(page["next"] for page in pages.values()), "a day has more than a page"
    paths = []
    for device in pages[lists[0]]["devices"]:
        path = f"/api/devices/{device['device']}"
        some = sorted(device["metrics"])[::3]  # all of them are held to the scenario as they are stored
        series = [f"{path}/series?metric={metric}&points=10000&{SINCE}" for metric in some]
        paths += [path, f"{path}/forecast", f"{path}/quality?{SINCE}", *series]
    return pages | dict(zip(paths, world.ask_all(paths), strict=True))


def _deliveries(ports: Ports) -> list[Delivery]:
    rows = ports.tables.query(OUTBOX.name, PHONE, limit=9999)
    return [msgspec.json.decode(row.value, type=Delivery) for row in rows]


def _states(ports: Ports) -> dict[str, Any]:
    stored = ports.blobs.get_many(ports.blobs.list("state/"))
    return {key: read_envelope(blob.data, key) for key, blob in stored.items()}


def _shown(one: Any, other: Any) -> str:
    """What of a thing is otherwise in another."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [key for key in {*one, *other} if one.get(key) != other.get(key)]
        return ", ".join(f"{key}: {_shown(one.get(key), other.get(key))}" for key in sorted(keys))[:400]
    if isinstance(one, list) and isinstance(other, list):
        place = next((i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(other))
        of, than = (each[place] if place < len(each) else None for each in (one, other))
        return f"{len(one)} of them, the one at {place} {_shown(of, than) if of is not None else 'missing'}"[:400]
    return repr(one)[:200]
