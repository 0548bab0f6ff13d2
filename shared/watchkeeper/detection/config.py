"""Every setting of the detector, with one global default: no per-device and no per-file values."""

import msgspec


class DetectorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How eager the detector is. Surprises are natural logarithms (nats): 4.6 nats is one chance in a hundred."""

    warm_readings: int = 100
    """Readings before a device may alert: half to learn each series, half to learn how its surprises add up."""
    open_surprise: float = 5.5
    """Nats at which an episode opens, once held; the score is 0.5 there."""
    clear_surprise: float = 4.0
    """Nats below which a reading counts as quiet."""
    hold_readings: int = 2
    """Readings for which the surprise must hold before an episode opens."""
    smoothing: float = 0.35
    """Share of a series' surprise that fades with each reading: the smoothed surprise is the greatest that is left."""
    quiet_readings: int = 30
    """Quiet readings before an episode clears …"""
    quiet_ms: int = 300_000
    """… and quiet event time, in milliseconds: both are needed."""
    refractory_readings: int = 60
    """Readings after a clear during which only a clearly greater surprise opens again …"""
    refractory_factor: float = 1.3
    """… greater by this factor."""
    update_ms: int = 60_000
    """Least event time between two edges of one open episode, in milliseconds."""
    relearn_readings: int = 120
    """Readings after which a lasting deviation is taken for the new normal and learnt."""
    late_readings: int = 256
    """Consecutive out-of-order readings after which the device's older clock is believed again."""


DEFAULT = DetectorConfig()
