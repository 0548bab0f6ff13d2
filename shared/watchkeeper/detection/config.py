"""Every setting of the detector, with one global default: no per-device and no per-file values."""

import msgspec


class DetectorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How eager the detector is. Surprises are natural logarithms (nats): 4.6 nats is one chance in a hundred."""

    warm_readings: int = 100
    """Readings before a device may alert; it is scored from the first one on."""
    target_a_week: float = 0.4
    """False alarms that a device may have in a week: its bar is set for them, from its own unlabelled history."""
    usual_surprise: float = 1.1
    """Nats that the greatest surprise of a block of readings often exceeds: the bar is reckoned from there."""
    least_surprise: float = 9.0
    """Nats below which the bar never is."""
    joint_surprise: float = 8.5
    """Nats that all metrics together must reach if they are heard every five minutes …"""
    joint_frequency: float = 0.6
    """… and how many more for each time that they are heard e times as often."""
    open_surprise: float = 6.5
    """The surprise at a device's own bar, whatever that is: a reading's surprise is told in this measure."""
    raised_by: float = 0.39
    """Share that the bar is raised by when an episode opens …"""
    raised_readings: int = 130
    """… and readings over which that fades."""
    clear_share: float = 0.54
    """Share of the bar below which a reading counts as quiet."""
    quiet_readings: int = 26
    """Quiet readings before an episode clears …"""
    quiet_ms: int = 40_000
    """… and quiet event time, in milliseconds: both are needed."""
    update_ms: int = 60_000
    """Least event time between two edges of one open episode, in milliseconds."""
    relearn_readings: int = 93
    """Readings after which a lasting deviation of a series is taken for the new normal and learnt."""
    late_readings: int = 256
    """Consecutive out-of-order readings after which the device's older clock is believed again."""
    most_metrics: int = 64
    """Metrics of a device that are scored: the first it sent. Values of others are counted, and go through unscored."""


DEFAULT = DetectorConfig()
