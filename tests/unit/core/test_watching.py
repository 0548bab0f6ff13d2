"""The dead man's switch decides: what is silence, what is only lag, and what says nothing at all."""

import dataclasses

import pytest

from watchkeeper.watching import Figures, Lane, Look, Vigil, canary_values

BOUND = 60_000
STEP = 5_000
NOW = 1_795_000_000_000


@dataclasses.dataclass
class Scene:
    """A pipeline as the watch sees it, a look every STEP ms."""

    at: int = 1_000_000
    now: int = NOW
    accepted: int = 0
    beats: tuple = ()
    taken: int = 0
    newest: int = 0
    told: tuple = (0, 0)
    trouble: str = ""

    def __post_init__(self):
        self.vigil = Vigil(BOUND, 2)

    def lanes(self, partition=2):
        own = Lane("clean", "iot-data-ingestion", partition, self.taken, self.newest)
        return (own, Lane("notify", "dashboard-alerts", 0, *self.told))

    def look(self, seconds=STEP / 1000, *, send=True, out=True, partition=2):
        self.at += int(seconds * 1000)
        self.now += int(seconds * 1000)
        self.accepted += send
        if out:
            self.beats = (*self.beats, self.now)[-100:]
        lanes = self.lanes(partition)
        return self.vigil.look(Look(self.at, self.now, lanes, self.accepted, frozenset(self.beats), self.trouble))

    def until_silent(self, most=40, **more):
        """How many seconds of looks it takes, and the verdict."""
        for count in range(1, most):
            verdict = self.look(**more)
            if verdict.silent:
                return count * STEP / 1000, verdict
        return None, verdict


def test_what_flows_is_never_silent():
    scene = Scene()
    verdicts = [scene.look() for _ in range(100)]
    assert not any(verdict.silent for verdict in verdicts)
    assert all(verdict.flows for verdict in verdicts[2:])


def test_readings_that_do_not_come_out_are_silence_after_the_bound_and_not_before():
    scene = Scene()
    for _ in range(5):
        scene.look()
    seconds, verdict = scene.until_silent(out=False)
    assert BOUND / 1000 <= seconds <= BOUND / 1000 + 2 * STEP / 1000
    assert "do not come out" in verdict.silent
    assert not verdict.flows


def test_a_start_is_given_the_whole_bound_and_says_neither():
    scene = Scene()
    early = [scene.look(out=False) for _ in range(11)]
    assert not any(verdict.silent or verdict.flows for verdict in early)
    assert scene.until_silent(out=False)[0]


def test_readings_that_came_out_before_the_start_are_no_sign_of_life():
    scene = Scene(beats=(NOW - 9000, NOW - 4000))
    assert not any(scene.look(out=False).flows for _ in range(5))


def test_one_silence_has_one_name_however_long_it_lasts():
    scene = Scene()
    _, first = scene.until_silent(out=False)
    later = [scene.look(out=False) for _ in range(50)]
    assert {verdict.since for verdict in later} == {first.since}
    scene.look()
    assert scene.look().flows
    _, again = scene.until_silent(out=False)
    assert again.since > first.since


def test_a_backlog_that_is_worked_off_is_lag_and_no_silence():
    scene = Scene(newest=1_000_000)
    for _ in range(100):
        scene.taken += 64
        verdict = scene.look(out=False)
        assert not verdict.silent
    (messages, seconds) = scene.vigil.behind(scene.lanes())["clean"]
    assert messages == 1_000_000 - 6400
    assert seconds == pytest.approx(99 * STEP / 1000)


def test_a_backlog_of_other_partitions_does_not_excuse_the_canarys_own():
    scene = Scene(newest=1_000_000)
    for _ in range(30):
        scene.taken += 64
        verdict = scene.look(out=False, partition=1)
    assert "do not come out" in verdict.silent


def test_a_front_door_that_takes_nothing_is_silence_whatever_else_moves():
    scene = Scene(newest=1_000_000, trouble="the API answers 503")
    for _ in range(20):
        scene.taken += 64
        verdict = scene.look(send=False, out=False)
    assert verdict.silent == "its own readings are not accepted (the API answers 503)"


def test_a_partition_that_stands_still_is_named_though_the_canary_flows():
    scene = Scene(newest=7)
    _, verdict = scene.until_silent(partition=3)
    assert verdict.silent == "messages wait and are not taken: clean at iot-data-ingestion/3"
    assert not verdict.mute


def test_it_is_said_when_the_stage_that_tells_people_stands_still():
    scene = Scene(told=(3, 4))
    _, verdict = scene.until_silent()
    assert verdict.mute
    scene.told = (4, 4)
    assert not scene.look().mute


@pytest.mark.parametrize("slept", [600, 86_400])
def test_a_laptop_that_slept_has_not_been_silent(slept):
    scene = Scene()
    for _ in range(5):
        scene.look()
    assert not scene.look(slept, send=False, out=False).silent
    assert not any(scene.look().silent for _ in range(5))


@pytest.mark.parametrize("jump", [-3_600_000, 3_600_000])
def test_a_clock_that_is_set_makes_nothing_silent(jump):
    scene = Scene()
    for _ in range(5):
        scene.look()
    scene.now += jump
    scene.beats = tuple(beat for beat in scene.beats if scene.now - 600_000 <= beat <= scene.now + 300_000)
    verdicts = [scene.look() for _ in range(30)]
    assert all(verdict.flows and not verdict.silent for verdict in verdicts)


def test_lag_in_seconds_is_the_age_of_the_oldest_that_waits():
    scene = Scene()
    scene.look()
    scene.newest = 10
    for _ in range(4):
        scene.look()
        scene.newest += 10
    assert scene.vigil.behind(scene.lanes())["clean"] == (50, 15.0)
    scene.taken = 20  # what waits now was first seen two looks ago
    scene.look()
    assert scene.vigil.behind(scene.lanes())["clean"][1] == pytest.approx(10.0)
    scene.taken = scene.newest
    scene.look()
    assert scene.vigil.behind(scene.lanes())["clean"] == (0, 0.0)


def test_a_day_of_backlog_is_remembered_in_few_marks():
    scene = Scene()
    for _ in range(20_000):
        scene.newest += 1
        scene.look()
    assert scene.vigil.behind(scene.lanes())["clean"][1] == pytest.approx(99_995, abs=10)
    assert len(scene.vigil._tracks["clean at iot-data-ingestion/2"].marks) <= 256


def test_the_canary_tells_the_worst_lag_each_stages_and_rates_a_minute():
    before = Figures(0, {}, {"dead": 5, "stored": 100, "throttled": 0}, {})
    now = Figures(
        30_000, {"clean": (7, 2.5), "store": (3, 9.0)}, {"dead": 8, "stored": 160, "throttled": 4}, {"workers": 1}
    )
    values = canary_values(now, before)
    assert (values["lag_messages"], values["lag_seconds"]) == (7, 9.0)
    assert (values["lag_messages_store"], values["lag_seconds_clean"]) == (3, 2.5)
    rates = [values[f"{name}_per_minute"] for name in ("dead", "stored", "throttled")]
    assert rates == [6, 120, 8]
    assert values["workers"] == 1


def test_counts_that_begin_anew_are_no_negative_rate():
    before, now = Figures(0, {}, {"dead": 50}, {}), Figures(60_000, {}, {"dead": 2}, {})
    assert canary_values(now, before)["dead_per_minute"] == 0
    assert canary_values(now, now)["dead_per_minute"] == 0
