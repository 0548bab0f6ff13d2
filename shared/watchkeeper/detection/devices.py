"""The memory of all devices of a shard beyond their series: one record of at most 512 bytes each, in one array."""

import numpy as np
from numpy.typing import NDArray

PLACES = 8
"""Metrics of a device that its joint distance is over: the first it sent."""
NEVER = -(2**63)
USUAL_OFTEN, USUAL_EXCESS = 0.7, 1.84
"""What is believed of a device's blocks of readings before any: see episode.py."""
DEVICE = np.dtype(
    [
        ("last_ts", "<i8"),
        ("opened_ts", "<i8"),
        ("edge_ts", "<i8"),
        ("quiet_ts", "<i8"),
        ("late", "<f4"),  # consecutive readings out of order
        ("readings", "<f4"),
        ("known", "<f4"),  # readings that count for confidence: gaps take from them
        ("interval", "<f4"),  # usual time between two readings, ms
        ("forest", "<f4"),  # smoothed surprise of the forest
        ("is_open", "<f4"),
        ("raised", "<f4"),  # share that the bar is raised by since episodes opened; fades
        ("often", "<f4"),  # share of blocks of readings whose greatest surprise was beyond what is usual
        ("excess", "<f4"),  # by how much, in the mean, nats
        ("blocks", "<f4"),
        ("beyond", "<f4"),  # blocks of them that were beyond
        ("block_peak", "<f4"),  # greatest surprise of the block at hand
        ("block_n", "<f4"),
        ("since_edge", "<f4"),
        ("in_a_row", "<f4"),  # consecutive readings: quiet ones of an open episode, else those that last
        ("peak", "<f4"),
        ("joint_n", "<f4"),
        ("joint_wild", "<f4"),
        ("joint_counted", "<f4"),
        ("joint_counts", "<f4", (8,)),
        ("joint", "<f4", (PLACES * PLACES,)),  # covariance of scaled deviations
    ]
)


def fresh_devices(count: int) -> NDArray[np.void]:
    """Records of devices never seen."""
    made: NDArray[np.void] = np.zeros(count, DEVICE)
    made["last_ts"] = NEVER
    made["often"], made["excess"] = USUAL_OFTEN, USUAL_EXCESS
    return made
