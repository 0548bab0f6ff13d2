"""Every setting of the detector, with one global default: no per-device and no per-file values."""

import msgspec


class DetectorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How eager the detector is. Surprises are natural logarithms (nats): 4.6 nats is one chance in a hundred."""

    warm_readings: int = 100
    """Readings before a device may alert; it is scored from the first one on."""
    open_surprise: float = 6.5
    """Nats at which an episode opens, at the least; the score is 0.5 at the device's own bar."""
    usual_worth: float = 0.55
    """The bar is at least this many times the device's usual greatest surprise in a block of readings …"""
    block_readings: int = 64
    """… of this many …"""
    usual_most: float = 1.5
    """… of which none counts for more than this many times `open_surprise`."""
    raised_by: float = 0.6
    """Share that the bar is raised by when an episode opens …"""
    raised_readings: int = 300
    """… and readings over which that fades."""
    clear_share: float = 0.7
    """Share of the bar below which a reading counts as quiet."""
    quiet_readings: int = 20
    """Quiet readings before an episode clears …"""
    quiet_ms: int = 10_000
    """… and quiet event time, in milliseconds: both are needed."""
    update_ms: int = 60_000
    """Least event time between two edges of one open episode, in milliseconds."""
    relearn_readings: int = 94
    """Readings after which a lasting deviation of a series is taken for the new normal and learnt."""
    late_readings: int = 256
    """Consecutive out-of-order readings after which the device's older clock is believed again."""
    most_metrics: int = 64
    """Metrics of a device that are scored: the first it sent. Values of others are counted, and go through unscored."""


DEFAULT = DetectorConfig()
