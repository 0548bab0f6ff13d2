"""The alarms of devices: when an episode opens, goes on and clears, for a reading of each of many devices at once."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.config import DetectorConfig
from watchkeeper.detection.devices import USUAL_OFTEN
from watchkeeper.detection.series import F32, I64, Bools, between, constant

Phase = Literal["open", "update", "clear"]
PHASES: tuple[Phase | None, ...] = (None, "open", "update", "clear")
CAUTION = constant(48.0)
"""Readings at which half of a surprise is believed."""
NOTHING, RECENT, HALF, ONE, TWICE, HUNDRED = (constant(x) for x in (0.0, 0.05, 0.5, 1.0, 2.0, 100.0))
BLOCK = 32
"""Readings of a block: its greatest surprise is what the bar is learnt from."""
STANDING = 4
"""Blocks after which one ends also if the clock stands still."""
BELIEF, MEMORY = np.float32(28.0), np.float32(133.0)
"""Blocks that the prior of the bar is worth, and blocks that are remembered."""
CLIP = np.float32(1.2)
"""An excess counts for no more than this many times the mean excess …"""
UNCLIPPED = np.float32(1.0 / (1.0 - np.exp(-1.2)))
"""… which for exponential excesses makes their mean smaller by this factor."""
USUAL_MS, FREQUENT_MS = constant(300_000.0), constant(1_000.0)
"""A device that is heard twice as often has twice the chances of a false alarm in a week; between these intervals."""
BLOCKS_A_WEEK = 7 * 86_400_000 / (BLOCK * float(USUAL_MS))
OLD, AGEING = constant(4000.0), constant(0.11)
"""Ranks among more readings reach further: what the logarithm of a device's readings, relative to OLD, counts."""
LONGEST = constant(2.2)
"""Nats: the scale of the tail of a device's surprises, at the most. Those of ranks are exponential of scale 1, times a
weight of 2 at the most (baseline.WEIGHTS), and a little, as they add up; what goes further is a higher level.
"""
RAREST, EPOCH = constant(1e-9), np.array(0)
GAP, FORGET = constant(10.0), 1e-3
"""A pause longer than GAP usual intervals is a gap; each interval missed takes this share of what is known."""


class Line(NamedTuple):
    """A device's bar over the logarithm of how often it is heard, float32 (r): see `bar_at`."""

    level: F32
    scale: F32
    chances: F32  # the logarithm of a week's, heard every five minutes, for each that the target allows


def in_order(devices: NDArray[np.void], ts: I64, config: DetectorConfig) -> Bools:
    """Whether each device's reading is not older than its last; a clock that stays behind is believed in the end."""
    late, before = devices["late"], devices["last_ts"]
    ordered: Bools = ts >= before
    passed = ts - before
    if np.count_nonzero(ordered) == ts.size:
        late[:] = NOTHING
    else:
        ordered |= late >= config.late_readings - 1
        late += ONE
        late *= ~ordered
        passed = np.maximum(passed, 0) * ordered
    _pass_time(devices, passed)
    np.copyto(before, ts, where=ordered)
    return ordered


def belief(n: F32) -> F32:
    """The share of a surprise that the n readings it is ranked among bear out."""
    borne_out: F32 = n / (n + CAUTION)
    return borne_out


def line_of(devices: NDArray[np.void], n: F32, config: DetectorConfig) -> Line:
    """The bar of each device by what its blocks have shown; n float32 (r): the readings its surprise is ranked among.

    Peaks over a threshold: blocks beyond `usual_surprise` exceed it by exponentially distributed amounts (Pickands,
    Statistical inference using extreme order statistics, 1975), so that a rarer bar is a logarithm further away.
    Of exponentials that are shifted the mean excess is the shift and the scale: LONGEST at the most, and the shift is
    taken twice, as levels wander.
    """
    excess = devices["excess"]
    scale = np.minimum(excess, LONGEST)
    level = scale * (AGEING * np.log((n + HUNDRED) / OLD))
    level += TWICE * (excess - scale)
    level += constant(config.usual_surprise)
    chances = np.log(np.maximum(devices["often"] * constant(BLOCKS_A_WEEK / config.target_a_week), RAREST))
    return Line(level, scale, chances)


def bar_at(line: Line, often: F32, config: DetectorConfig) -> F32:
    """Nats that a device's metrics exceed about as often as the target says, if it is heard so often (r)."""
    bar: F32 = line.scale * np.maximum(line.chances + often, NOTHING)
    bar += line.level
    np.maximum(bar, constant(config.least_surprise), out=bar)
    return bar


def joint_bar_at(often: F32, config: DetectorConfig) -> F32:
    """Nats that all metrics of a device together exceed about as often."""
    bar: F32 = constant(config.joint_frequency) * often + constant(config.joint_surprise)
    return bar


def frequency(devices: NDArray[np.void]) -> F32:
    """How often a device is heard: the logarithm of how many times in five minutes, at most once a second."""
    often: F32 = np.log(USUAL_MS / between(devices["interval"], FREQUENT_MS, USUAL_MS))
    return often


def lasting(line: Line, often: F32, single: F32, joint: F32, config: DetectorConfig) -> Bools | None:
    """Which devices, heard more often, are beyond the bar of one that is heard every five minutes (r); None: none is.

    often, single, joint  float32 (r): see `frequency`; nats of a device's metrics, and of all together
    """
    together = joint >= constant(config.joint_surprise)
    if not np.count_nonzero(often) or not np.count_nonzero(together | (single >= constant(config.least_surprise))):
        return None  # no bar is below the least
    beyond: Bools = (together | (single >= bar_at(line, NOTHING, config))) & (often > NOTHING)
    return beyond if np.count_nonzero(beyond) else None


def less_for_lasting(devices: NDArray[np.void], often: F32, lasts: Bools | None, measured: Bools) -> F32:
    """How often a device has chances of what it shows (r), see `frequency`.

    What has lasted for k readings, and is no episode as yet, has had 2 / k of the chances: neighbours are much alike.
    """
    run = devices["in_a_row"]
    if lasts is None and not np.count_nonzero(run):
        return often
    closed = devices["is_open"] == NOTHING
    np.copyto(run, NOTHING if lasts is None else (run + ONE) * lasts, where=closed & measured)
    less: F32 = np.maximum(often - np.log(np.maximum(HALF * run * closed, ONE)), NOTHING)
    return less


def count(devices: NDArray[np.void], measured: Bools, config: DetectorConfig) -> Bools:
    """Count a reading of each device that is measured; whether the devices may alert by now."""
    readings = devices["readings"]
    readings += measured
    devices["known"] += measured
    warm: Bools = readings > constant(config.warm_readings)
    return warm


def advance(  # noqa: PLR0913, PLR0917 - a round is columns
    devices: NDArray[np.void],
    ts: I64,
    surprise: F32,
    bar: F32,
    measured: Bools,
    warm: Bools,
    config: DetectorConfig,
    lasts: Bools | None = None,
    opens: NDArray[np.int8] | None = None,
) -> I64:
    """Take a reading of each device, in order; the edge each makes, as an index into PHASES.

    lasts: see `lasting`, what is not quiet; opens: 0 may not, 1 (as all without it) once its device is warm, 2 at once
    """
    raised, peak = devices["raised"], devices["peak"]
    was_open, reaching = devices["is_open"] > NOTHING, surprise >= bar
    if np.count_nonzero(raised):
        raised -= warm * raised * constant(1.0 / config.raised_readings)
    edge = np.zeros(ts.size, np.int64)
    if np.count_nonzero(reaching):
        may_open = warm if opens is None else (warm & (opens > 0)) | (measured & (opens > 1))
        opening = may_open & ~was_open & reaching
        edge[opening] = 1
        for name in ("opened_ts", "edge_ts", "quiet_ts"):
            devices[name][opening] = ts[opening]
        devices["is_open"][opening] = devices["since_edge"][opening] = 1.0
        devices["in_a_row"][opening] = peak[opening] = 0.0
        raised[opening] += np.float32(config.raised_by)
    if np.count_nonzero(was_open):
        going = measured & was_open
        devices["since_edge"] += going
        calm = going & (surprise < constant(config.clear_share) * bar)
        if lasts is not None:
            calm &= ~lasts
        quiet, quiet_ts, edge_ts = devices["in_a_row"], devices["quiet_ts"], devices["edge_ts"]
        starting = calm & (quiet == 0)
        quiet_ts[starting] = ts[starting]
        quiet += calm
        quiet[going & ~calm] = 0.0
        clearing = calm & (quiet >= config.quiet_readings) & (ts - quiet_ts >= config.quiet_ms)
        edge[going & ~calm & (ts - edge_ts >= config.update_ms)] = 2
        edge[clearing] = 3
        edge_ts[edge > 0] = ts[edge > 0]
        devices["is_open"][clearing] = quiet[clearing] = 0.0
    np.maximum(peak, surprise, out=peak, where=measured)
    return edge


def note(devices: NDArray[np.void], nats: F32, warm: Bools) -> None:
    """Take a surprise of each device where warm (r) into its block of readings."""
    np.maximum(devices["block_peak"], nats, out=devices["block_peak"], where=warm)
    devices["block_n"] += warm


def end_blocks(devices: NDArray[np.void], moved: Bools, config: DetectorConfig) -> None:
    """Learn from full blocks how far surprises go, and how often; not between readings of one instant (moved: r)."""
    full = devices["block_n"] >= BLOCK
    if not np.count_nonzero(full):
        return
    ending = full & (moved | (devices["block_n"] >= STANDING * BLOCK))
    done = devices[ending]
    over = done["block_peak"] - np.float32(config.usual_surprise)
    beyond = over > 0
    done["often"] += np.maximum(1.0 / (done["blocks"] + BELIEF), 1.0 / MEMORY) * (beyond - done["often"])
    excess = np.minimum(over, CLIP * done["excess"]) * UNCLIPPED
    share = np.float32(USUAL_OFTEN)
    rate = np.maximum(1.0 / (done["beyond"] + share * BELIEF), 1.0 / (share * MEMORY))
    done["excess"] += beyond * rate * (excess - done["excess"])
    done["blocks"] = np.minimum(done["blocks"] + 1.0, MEMORY)
    done["beyond"] = np.minimum(done["beyond"] + beyond, MEMORY)
    done["block_peak"] = done["block_n"] = 0.0
    devices[ending] = done


def confidence(devices: NDArray[np.void], config: DetectorConfig) -> F32:
    """0..1: grows with the peak of the episode and with the history it is judged by; falls with gaps in it."""
    strength = 1.0 - np.exp(-1.5 * devices["peak"] / config.open_surprise)
    return np.asarray(strength * devices["known"] / (devices["known"] + 200.0), np.float32)


def _pass_time(devices: NDArray[np.void], passed: I64) -> None:
    """Learn the usual interval from ms that have passed (r); what was known fades with what was missed."""
    interval, known = devices["interval"], devices["known"]
    since, rate = passed.astype(np.float32), RECENT
    since *= devices["last_ts"] >= EPOCH
    longest = GAP * interval
    gap = since > longest
    if np.count_nonzero(gap):
        told = interval > NOTHING
        rate = np.where(told, RECENT, ONE)
        gap &= told
        missed = np.minimum(since[gap] / np.maximum(interval[gap], 1.0), 1e5)
        known[gap] *= np.exp(-FORGET * missed)
        since[gap] = longest[gap]
    np.add(interval, (since - interval) * rate, out=interval, where=since > NOTHING)
