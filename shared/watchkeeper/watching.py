"""How Watchkeeper sees whether its own pipeline flows: by what its canary sends and sees again, and by what moves.

Everything here is reckoned in time for which the watch itself was awake: a laptop that slept, a clock that was set and
a process that stood still make nothing silent.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from watchkeeper.codec import StructCodec
from watchkeeper.records import Alert

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CANARY = "watchkeeper-canary"
VERSION = 1
MOST_STEP_MS = 15_000  # between two looks more than this has not been awake
MARKS_KEPT = 256
RATES = ("stored", "dead", "throttled")


class WatchState(msgspec.Struct, array_like=True):
    """What outlives a restart: the alert that the pipeline is silent, while it fires, and was it told directly?"""

    v: int
    alert: Alert | None = None
    told: bool = False


WATCH_CODEC = StructCodec(WatchState, lambda: WatchState(VERSION))


class Lane(NamedTuple):
    """A stage on one partition of a topic: the offset it has taken, and the newest one there is (−1: none)."""

    stage: str
    topic: str
    partition: int
    taken: int
    newest: int

    @property
    def name(self) -> str:
        """What it is called in front of people."""
        return f"{self.stage} at {self.topic}/{self.partition}"

    @property
    def waiting(self) -> int:
        """How many messages it has not taken."""
        return max(0, self.newest - self.taken)


class Look(NamedTuple):
    """What is seen at one moment. `at` is a monotonic clock, `now` the wall's; both ms.

    `accepted` counts the canary's readings that the front door has taken, `beats` are the times of those that have
    lately come out at the other end. `trouble`: why something could not be seen, or was not accepted.
    """

    at: int
    now: int
    lanes: tuple[Lane, ...]
    accepted: int
    beats: frozenset[int]
    trouble: str = ""


class Verdict(NamedTuple):
    """Does the pipeline flow? Neither `flows` nor `silent` holds while it is too early to tell.

    `silent` is why, in words; `since` is the wall time at which that was first seen, and names the alert. `mute`: what
    is to be told would wait for a stage that does not move.
    """

    flows: bool
    silent: str = ""
    since: int = 0
    mute: bool = False


@dataclasses.dataclass(slots=True)
class _Track:
    """What is remembered of a lane: since when it has not moved, and when which newest offsets were first seen."""

    taken: int
    still_since: int
    marks: list[tuple[int, int]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Vigil:
    """Looks again and again, and says when the pipeline is silent: nothing has moved for `bound` ms of being awake."""

    bound: int
    partition: int  # the canary's own
    _at: int = -1
    _awake: int = 0
    _tracks: dict[str, _Track] = dataclasses.field(default_factory=dict)
    _accepted: tuple[int, int] = (-1, 0)
    _beats: frozenset[int] = frozenset()
    _beaten: int = 0
    _beat_seen: bool = False
    _since: int = 0

    def look(self, look: Look) -> Verdict:
        """What this look, after those before it, says."""
        first, step = self._at < 0, look.at - self._at
        self._awake += 0 if first else max(0, min(step, MOST_STEP_MS))
        self._at = look.at
        moving = self._follow(look.lanes)
        if look.accepted != self._accepted[0]:
            self._accepted = (look.accepted, self._awake)
        if not first and look.beats - self._beats:
            self._beaten, self._beat_seen = self._awake, True
        elif moving and self._fresh(self._accepted[1]):
            self._beaten = self._awake  # a backlog is being worked off: that is lag, another alert
        self._beats = look.beats
        silent = self._silent(look)
        self._since = (self._since or look.now) if silent else 0
        flows = self._beat_seen and self._fresh(self._beaten) and not silent
        mute = any(lane.stage == "notify" and self._stuck(lane) for lane in look.lanes)
        return Verdict(flows, silent, self._since, mute)

    def behind(self, lanes: tuple[Lane, ...]) -> dict[str, tuple[int, float]]:
        """By stage: how many messages wait, and for how many seconds the oldest has, to within one look."""
        found: dict[str, tuple[int, float]] = {}
        for lane in lanes:
            marks = self._tracks[lane.name].marks if lane.name in self._tracks else []
            seconds = (self._awake - marks[0][0]) / 1000 if marks else 0.0
            count, longest = found.get(lane.stage, (0, 0.0))
            found[lane.stage] = (count + lane.waiting, max(longest, seconds))
        return found

    def _follow(self, lanes: tuple[Lane, ...]) -> bool:
        """Take note of how far each lane is; has the canary's partition moved, with more to come?"""
        moving = False
        for lane in lanes:
            track = self._tracks.setdefault(lane.name, _Track(lane.taken, self._awake))
            if lane.taken != track.taken or not lane.waiting:
                own = lane.partition == self.partition and lane.stage != "notify"
                moving = moving or (own and lane.waiting > 0 and lane.taken != track.taken)
                track.taken, track.still_since = lane.taken, self._awake
            track.marks = [mark for mark in track.marks if mark[1] > lane.taken]
            if lane.waiting and (not track.marks or track.marks[-1][1] < lane.newest):
                track.marks.append((self._awake, lane.newest))
            if len(track.marks) > MARKS_KEPT:
                del track.marks[1::2]
        return moving

    def _silent(self, look: Look) -> str:
        if not self._fresh(self._accepted[1]):
            return f"its own readings are not accepted{_because(look.trouble)}"
        stuck = list(self._stuck_names(look))
        if stuck:
            return f"messages wait and are not taken: {', '.join(stuck)}"
        if not self._fresh(self._beaten):
            return f"its own readings are accepted, and do not come out{_because(look.trouble)}"
        return ""

    def _stuck_names(self, look: Look) -> Iterator[str]:
        return (lane.name for lane in look.lanes if self._stuck(lane))

    def _stuck(self, lane: Lane) -> bool:
        return lane.waiting > 0 and not self._fresh(self._tracks[lane.name].still_since)

    def _fresh(self, moment: int) -> bool:
        return self._awake - moment <= self.bound


def _because(trouble: str) -> str:
    return f" ({trouble})" if trouble else ""


class Figures(NamedTuple):
    """What the canary tells of at one moment; `counts` go up only, the rest is as it is now. `at`: monotonic ms."""

    at: int
    behind: Mapping[str, tuple[int, float]]
    counts: Mapping[str, float]  # those of RATES, and others
    gauges: Mapping[str, float]


def canary_values(now: Figures, before: Figures) -> dict[str, float]:
    """The metrics of the canary's next reading; `before` are figures of about a minute ago."""
    minutes = max(now.at - before.at, 1) / 60_000
    waiting = [messages for messages, _ in now.behind.values()]
    values = {"lag_messages": float(max(waiting, default=0))}
    values["lag_seconds"] = max((seconds for _, seconds in now.behind.values()), default=0.0)
    for stage, (messages, seconds) in now.behind.items():
        values[f"lag_messages_{stage}"] = float(messages)
        values[f"lag_seconds_{stage}"] = round(seconds, 3)
    for name in RATES:
        count = now.counts.get(name, 0.0)
        grown = max(0.0, count - before.counts.get(name, count))  # a day's counts begin anew at midnight
        values[f"{name}_per_minute"] = round(grown / minutes, 3) if now.at > before.at else 0.0
    return {**values, **now.gauges}
