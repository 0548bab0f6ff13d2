"""What the detector's bar of a device is, and how often it opened episodes against what its target explains."""

from watchkeeper.class_knowledge import detector_state
from watchkeeper.detection.calibration import calibrated
from watchkeeper.detection.config import DEFAULT
from watchkeeper.ids import shard_of
from watchkeeper.records import DeviceRecord, Episode
from watchkeeper.topology import EPISODES
from watchkeeper_api.backend import Backend
from watchkeeper_api.rows import newest, time_range
from watchkeeper_api.schemas import Calibration, ClassBar

WEEK_MS, WEEKS = 7 * 86_400_000, 4
MOST_OPENINGS = 1_000  # of a device, that are counted


def calibration_of(backend: Backend, tenant: str, record: DeviceRecord) -> Calibration:
    """What is known of a device's bar. StateError: the state of its shard cannot be read."""
    now = backend.clock()
    backend.published.refresh(now)
    book = backend.published.classes
    of = book.of(tenant, record.device_class) if book else None
    factor = of.factor if of else 1.0
    state = detector_state(backend.ports.blobs, shard_of(tenant, record.device, backend.shards))
    found = calibrated(state, f"{tenant}\0{record.device}", factor)
    since = max(record.first_seen, now - WEEKS * WEEK_MS)
    weeks = max(0, min(record.last_seen, now) - since) / WEEK_MS
    openings = _openings(backend, tenant, record.device, since)
    scored = found.metrics if found else ()
    return Calibration(
        device=record.device,
        device_class=record.device_class,
        class_factor=factor,
        readings=found.readings if found else 0,
        warming=found.warming if found else True,
        warm_readings=DEFAULT.warm_readings,
        interval_ms=found.interval_ms if found else None,
        bar=found.bar if found else None,
        joint_bar=found.joint_bar if found else None,
        raised=found.raised if found else 0.0,
        is_open=bool(found and found.is_open),
        target_a_week=DEFAULT.target_a_week,
        weeks=weeks,
        expected=DEFAULT.target_a_week * weeks,
        observed=openings,
        scored=scored,
        unscored=tuple(metric for metric in record.metrics if metric not in scored),
    )


def class_bars(backend: Backend, tenant: str) -> list[ClassBar]:
    """What the bars of a tenant's classes are multiplied by, and why; backend's published things are fresh."""
    book = backend.published.classes
    known = book.tenants.get(tenant, {}) if book else {}
    return [
        ClassBar(name, each.factor, each.confirmed, each.rejected, sorted(each.metrics)) for name, each in known.items()
    ]


def _openings(backend: Backend, tenant: str, device: str, since: int) -> int:
    def wanted(episode: Episode) -> bool:
        return episode.device == device and episode.detector == "model" and not episode.backfill

    low, high = time_range(since, None, "")
    found, _ = newest(backend.ports.tables, EPISODES, tenant, Episode, low, high, MOST_OPENINGS, wanted)
    return len(found)
