"""Reprocessing over ports in memory: what comes out, what is left alone, and what a crash does."""

import functools

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.reprocessing.support import HOUR, MINUTE, SECOND, SHARDS, T0, World, bundle, rows_of, wave
from watchkeeper.errors import ConfigError, Conflict, ModelError, StateError
from watchkeeper.ids import shard_of
from watchkeeper.model_in_force import model_key
from watchkeeper.packs import Pack, Table
from watchkeeper.ports import Message
from watchkeeper.records import Device, Episode, Flag
from watchkeeper.reprocessing import plan as plans
from watchkeeper.reprocessing import work as works
from watchkeeper.reprocessing.compare import differences
from watchkeeper.reprocessing.swap import NotAsReplayedError, Swap
from watchkeeper.reprocessing.work import Work
from watchkeeper.series import merging
from watchkeeper.series.query import query
from watchkeeper.stages.retrain import retrain
from watchkeeper.topology import EPISODES, IOT_DATA_INGESTION, TABLES, TOPICS

SPAN = T0 + HOUR, T0 + 4 * HOUR
STEP = 40 * SECOND
ROWS, AT_ONCE = 500, 25  # of each device, and in a message


@pytest.fixture(params=["few", "many"])
def world(request, monkeypatch):
    """A fleet of two pumps and a fan; `many`: with segments of each device in all sizes there are, pages included."""
    if request.param == "many":
        for name, rows in {"DIVIDE_ROWS": 75, "FULL_ROWS": 50, "PAGE": 2, "FAN_IN": 4}.items():
            monkeypatch.setattr(merging, name, rows)
    made = _fleet(request.param).copy()
    levels = {int(key.split("/")[2]) for key in made.ports.blobs.list("segments/")}
    assert (max(levels) > merging.FULL) == (request.param == "many")
    return made


@functools.cache
def _fleet(_name):
    """Taken once, under the sizes that hold now: tests get copies."""
    made = World()
    for low in range(0, ROWS, AT_ONCE):
        for device in ("pump-01", "pump-02", "fan-9"):
            made.send(device, T0 + low * STEP, flow(low), STEP)
    return made


def flow(low):
    """The readings of one message, the first of which is the `low`-th."""
    return wave(2 * ROWS)[::2][low : low + AT_ONCE]


def live(world):
    """Everything that may not change while a span is replayed: blobs, rows, positions and messages."""
    ports = world.ports
    blobs = {key: ports.blobs.get_many([key])[key] for key in ports.blobs.list("") if not key.startswith(plans.ROOT)}
    rows = {table: ports.tables.query(table, partition) for table in TABLES for partition in ("default", "memory")}
    ends = {topic: [ports.stream.read(topic, 0, -1, 10**6)] for topic in TOPICS}
    return blobs, rows, ends, len(world.alerts)


def without_verdicts(rows):
    return [row[:4] for row in rows]


@pytest.mark.parametrize("stage", plans.STAGE_NAMES)
def test_the_same_bundle_finds_the_same_from_any_stage_on(world, stage):
    before, held = world.rows(), live(world)
    work = world.plan(T0, T0 + 12 * HOUR, stage)
    work.replay()
    assert work.plan.readings == len(before) == 3 * ROWS
    assert list(differences(world.ports, work.plan)) == []
    assert live(world) == held
    work.promote()
    assert world.rows() == before


def test_a_rule_that_changed_shows_as_exactly_what_it_would_have_found(world):
    before = world.rows()
    world.put_in_force(bundle(110))
    work = world.plan(*SPAN, lead_in=HOUR)
    held = live(world)
    work.replay()
    found = {(each.device, each.what): each for each in differences(world.ports, work.plan)}
    assert {device for device, _ in found} == {"pump-01", "pump-02"}
    rule = found["pump-01", "readings: rule:pump.flow-high"]
    flow = np.array([dict(row[3])["flow"] for row in before if row[0] == "pump-01" and SPAN[0] <= row[1] < SPAN[1]])
    assert rule.after < rule.before
    assert rule.went == rule.before - rule.after
    assert abs(rule.before - (flow > 100).sum()) <= 20  # a reading more or less where it clears
    assert abs(rule.after - (flow > 110).sum()) <= 20
    assert found["pump-01", "episodes: rule:pump.flow-high"].went > 0
    assert live(world) == held


def test_promoting_replaces_the_span_and_nothing_else_and_rolling_back_undoes_it(world):
    before = world.rows()
    world.put_in_force(bundle(110))
    alerts = len(world.alerts)
    work = world.plan(*SPAN, lead_in=HOUR)
    work.replay()
    expected = sorted(
        [
            row
            for shard in work.plan.done
            for row in rows_of(plans.copy_of(world.ports.blobs, work.plan, shard, "after"))
        ]
        + [row for row in before if not SPAN[0] <= row[1] < SPAN[1]],
        key=repr,
    )
    work.promote()
    after = world.rows()
    assert work.plan.state == "promoted"
    assert after == expected
    assert after != before
    assert without_verdicts(after) == without_verdicts(before)
    assert all(SPAN[0] <= row[1] < SPAN[1] for row in set(before) ^ set(after))
    work.promote()  # again: it is done
    assert world.rows() == after
    work.roll_back()
    assert world.rows() == before
    work.promote()
    assert world.rows() == after
    work.discard()
    assert world.rows() == after
    assert world.ports.blobs.list(plans.ROOT) == []
    assert len(world.alerts) == alerts


def test_no_segment_is_left_that_nothing_refers_to(world):
    world.put_in_force(bundle(110))
    count = len(world.ports.blobs.list("segments/"))
    work = world.plan(*SPAN)
    work.replay()
    work.promote()
    assert len(world.ports.blobs.list("segments/")) == count


def test_what_arrives_meanwhile_in_the_span_stays_as_it_came(world):
    world.put_in_force(bundle(110))
    work = world.plan(*SPAN)
    work.replay()
    count = len(world.rows())
    late = T0 + 2 * HOUR + 5 * SECOND  # between two readings that were replayed, and one that corrects one of them
    world.send("pump-01", late, [119.5, 119.6], late=10 * HOUR)
    world.send("pump-01", T0 + 2 * HOUR, [99.25], late=11 * HOUR)
    arrived = [row for row in world.rows() if row[2] - row[1] >= 10 * HOUR]
    assert len(arrived) == 3
    work.promote()
    assert len(world.rows()) == count + 3
    assert [row for row in world.rows() if row[2] - row[1] >= 10 * HOUR] == arrived
    shard = _shard("pump-01")
    point = query(world.ports.blobs, shard, "default", "pump-01", "flow", T0 + 2 * HOUR, T0 + 2 * HOUR + 1, 10).points
    assert point == [(T0 + 2 * HOUR, 99.25)]
    work.roll_back()
    assert [row for row in world.rows() if row[2] - row[1] >= 10 * HOUR] == arrived


def _shard(device):
    return shard_of("default", device, SHARDS)


def test_the_pipeline_goes_on_over_a_promoted_span(world):
    world.put_in_force(bundle(110))
    work = world.plan(*SPAN)
    work.replay()
    work.promote()
    count = len(world.rows())
    for low in range(0, ROWS, AT_ONCE):
        world.send("pump-01", T0 + 8 * HOUR + low * STEP, flow(low), STEP)
    assert len(world.rows()) == count + ROWS
    assert not world.worker.blocked


def test_readings_without_a_time_and_corrections_come_through_clean_as_they_were():
    world = World()
    shard, ts = _shard("pump-01"), [T0, T0, T0 + 1000, T0 + 1000, T0 + 2000]
    for flags, values in ((Flag.NO_TIME, [99.0] * 5), (0, [1.0, 2.0, 3.0, 3.5, 5.0])):
        salt = range(1, 6) if flags else ()
        table = Table.build(("flow",), [0] * 5, ts, ts, [values], flags=[int(flags)] * 5, salt=salt)
        pack = Pack(shard, [Device("default", "pump-01")], [table], tagsets=[])
        world.now = T0 + MINUTE
        world.ports.stream.append(IOT_DATA_INGESTION.name, [Message(shard, pack.encode())])
        while world.worker.step()["messages"]:
            pass
    before = world.rows()
    assert len(before) == 10
    work = world.plan(T0, T0 + HOUR, "clean")
    work.replay()
    assert list(differences(world.ports, work.plan)) == []
    work.promote()
    after = world.rows()
    assert [row[:5] + row[6:] for row in after] == [row[:5] + row[6:] for row in before]
    # Corrections came late the first time, and in their order the second: what was learnt before them is not the same.
    assert [row[5] for row in after] == pytest.approx([row[5] for row in before], abs=0.01)


def test_another_model_scores_the_span_anew(world):
    model = retrain(world.ports, SHARDS, world.now)
    world.ports.blobs.put(model_key(model.version), model.encode())  # stored, and not in force
    before = world.rows()
    work = world.plan(*SPAN, "ml_score", model=model.version, lead_in=HOUR)
    work.replay()
    kinds = {each.what for each in differences(world.ports, work.plan)}
    assert "readings: scores" in kinds
    assert not {kind for kind in kinds if kind.startswith(("readings: rule", "readings: values"))}
    work.promote()
    assert without_verdicts(world.rows()) == without_verdicts(before)
    with pytest.raises(ModelError, match="there is no model 'm-none'"):
        world.plan(*SPAN, "ml_score", model="m-none").replay()


# --- crashes --------------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process is gone."""


class Dying:
    """Blobs that die before, or after, their n-th write or deletion."""

    def __init__(self, blobs, after, *, done):
        self.blobs, self.left, self.done = blobs, after, done

    def __getattr__(self, name):
        method = getattr(self.blobs, name)
        if name not in {"put", "delete"}:
            return method

        def call(*arguments):
            self.left -= 1
            if self.left == 0 and not self.done:
                raise Crash
            answer = method(*arguments)
            if self.left == 0:
                raise Crash
            return answer

        return call


STEPS = ("replay", "promote", "roll_back", "promote", "discard")


@pytest.mark.no_cover
@pytest.mark.parametrize("done", [False, True])
def test_killed_between_any_two_effects_and_run_again_it_ends_the_same(monkeypatch, done):
    monkeypatch.setattr(merging, "DIVIDE_ROWS", 150)
    monkeypatch.setattr(merging, "FULL_ROWS", 125)

    world = World()
    for low in range(0, 300, 25):  # so many that the model has begun to score when the span ends
        world.send("pump-01", T0 + low * MINUTE, wave(600)[::2][low : low + 25], step=MINUTE)
    world.put_in_force(bundle(110))

    def step(world, name, blobs):
        found = plans.plans(blobs)
        if name == "discard" and not found:
            return
        work = world.plan(T0 + HOUR, T0 + 3 * HOUR)
        getattr(Work(blobs, plans.Held(blobs, work.plan, work.held.version)), name)()

    original, clean, results = world.rows(), [world.copy()], []
    for name in STEPS:
        step(world, name, world.ports.blobs)
        clean.append(world.copy())
        results.append(world.rows())
    assert results[1] != original == results[2]
    crashes = same = 0
    for at in range(1, 400):
        world = clean[same].copy()  # the steps before write less often than that: they would do as they did undisturbed
        crashed = False
        for name, expected in list(zip(STEPS, results, strict=True))[same:]:
            try:
                step(world, name, Dying(world.ports.blobs, at, done=done))
            except Crash:
                crashed = True
                assert len(world.rows()) == len(original)
                step(world, name, world.ports.blobs)
            else:
                same += not crashed
            assert world.rows() == expected, (name, at)
        assert world.ports.blobs.list(plans.ROOT) == []
        crashes += crashed
        if not crashed:
            break
    assert crashes > 10


# --- races ----------------------------------------------------------------------------------------------------------


def test_a_promote_waits_for_the_store_stage_and_tries_again(monkeypatch):
    world = World()
    world.send("pump-01", T0, wave(900))
    world.put_in_force(bundle(110))
    work = world.plan(T0, T0 + HOUR)
    work.replay()
    tries, renew = [], Swap._renew

    def interrupted(swap, state):
        renew(swap, state)
        tries.append(1)
        if len(tries) <= 20:  # somebody stores in between, and merges what has just been read
            world.send("pump-01", T0 + 30 * MINUTE + len(tries), [101.0], late=9 * HOUR)

    monkeypatch.setattr(Swap, "_renew", interrupted)
    work.promote()
    assert len(tries) > 20
    assert len(world.rows()) == 920
    segments = set(world.ports.blobs.list("segments/"))
    work.roll_back()
    assert len(world.rows()) == 920
    assert len(segments) < 20


def test_a_shard_that_is_never_at_rest_is_left_as_it_is_and_said_so(monkeypatch):
    world = World()
    world.send("pump-01", T0, wave(300))
    world.put_in_force(bundle(110))
    work = world.plan(T0, T0 + HOUR)
    work.replay()
    renew = Swap._renew
    sent = []

    def interrupted(swap, state):
        renew(swap, state)
        sent.append(1)
        world.send("pump-01", T0 + 30 * MINUTE + len(sent), [101.0], late=9 * HOUR)

    monkeypatch.setattr(Swap, "_renew", interrupted)
    monkeypatch.setattr("watchkeeper.reprocessing.swap.TRIES", 3)
    with pytest.raises(Conflict, match="written too often"):
        work.promote()
    monkeypatch.undo()
    assert len(world.rows()) == 303
    work.promote()
    assert len(world.rows()) == 303
    shard = _shard("pump-01")
    assert len(world.ports.blobs.list(f"segments/{shard:05d}/")) == 1 + 3


def test_two_commands_on_one_reprocessing_do_not_spoil_it(monkeypatch):
    world = World()
    world.send("pump-01", T0, wave(900))
    first, second = (world.plan(T0, T0 + 4 * HOUR) for _ in range(2))
    run = works._Replaying.run

    def overtaken(replaying):
        if not second.plan.done and second.plan.attempt == 0:
            second.held.version = world.ports.blobs.versions([plans.plan_key(second.plan.id)]).popitem()[1]
            second.held.plan = plans.named(world.ports.blobs, second.plan.id).plan
            second.replay()
        return run(replaying)

    monkeypatch.setattr(works._Replaying, "run", overtaken)
    with pytest.raises(Conflict, match="another command works on it"):
        first.replay()
    assert second.plan.state == "ready"
    before = world.rows()
    second.promote()
    assert world.rows() == before


def test_what_was_replaced_since_is_not_replaced_again(monkeypatch):
    world = World()
    world.send("pump-01", T0, wave(900))
    world.put_in_force(bundle(110))
    first = world.plan(T0, T0 + 2 * HOUR, "ml_score", lead_in=0)
    first.replay()
    world.put_in_force(bundle(90))
    second = world.plan(T0 + HOUR, T0 + 2 * HOUR, "ml_score")
    second.replay()  # without a lead-in it knows less, so that scores differ
    second.promote()
    after, segments = world.rows(), world.ports.blobs.list("segments/")
    with pytest.raises(NotAsReplayedError, match="no longer as they were"):
        first.promote()
    assert world.rows() == after
    assert world.ports.blobs.list("segments/") == segments
    first.roll_back()
    assert world.rows() == after


# --- refusals -------------------------------------------------------------------------------------------------------


def test_steps_out_of_turn_are_refused_with_what_to_do():
    world = World()
    world.send("pump-01", T0, wave(30))
    work = world.plan(T0, T0 + HOUR)
    with pytest.raises(ConfigError, match="is replaying, so `promote` cannot be done: run the same"):
        work.promote()
    with pytest.raises(ConfigError, match="`rollback` cannot be done"):
        work.roll_back()
    work.replay()
    work.replay()
    work.roll_back()  # there is nothing to take back
    work.promote()
    with pytest.raises(ConfigError, match="reprocessing begins with ''"):
        plans.named(world.ports.blobs, "")
    with pytest.raises(ConfigError, match="no reprocessing begins with 'x'"):
        plans.named(world.ports.blobs, "x")
    work.discard()
    world.ports.blobs.put(plans.plan_key("r-1"), b"{")
    with pytest.raises(StateError, match="not a plan"):
        plans.plans(world.ports.blobs)


def test_a_reading_that_does_not_come_through_stops_the_replay_and_changes_nothing(monkeypatch):
    world = World()
    world.send("pump-01", T0, wave(30))
    before = world.rows()
    work = world.plan(T0, T0 + HOUR, "clean")
    monkeypatch.setattr("watchkeeper.stages.clean.FUTURE_MS", -HOUR)
    with pytest.raises(StateError, match="a stored reading is refused by clean"):
        work.replay()
    assert world.rows() == before
    monkeypatch.undo()
    work.replay()
    assert work.plan.state == "ready"


# --- any history ----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_segments(monkeypatch):
    for name, rows in {"DIVIDE_ROWS": 12, "FULL_ROWS": 9, "PAGE": 2, "FAN_IN": 4}.items():
        monkeypatch.setattr(merging, name, rows)


SENT = st.lists(
    st.tuples(
        st.sampled_from(["pump-01", "pump-02"]),
        st.integers(0, 90),  # minutes
        st.lists(st.sampled_from([80.0, 101.0, 120.0, 99999.0]), min_size=1, max_size=6),
        st.integers(0, 3 * HOUR),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.usefixtures("small_segments")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sent=SENT, more=SENT, stage=st.sampled_from(plans.STAGE_NAMES), low=st.integers(0, 60), high=st.integers(61, 120)
)
def test_whatever_was_stored_no_reading_is_lost_or_made(sent, more, stage, low, high):
    world = World()
    for device, minute, values, late in sent:
        world.send(device, T0 + minute * MINUTE, values, MINUTE, late)
    world.put_in_force(bundle(90))
    work = world.plan(T0 + low * MINUTE, T0 + high * MINUTE, stage)
    work.replay()
    for device, minute, values, late in more:
        world.send(device, T0 + minute * MINUTE, values, MINUTE, late)
    before = world.rows()
    work.promote()
    assert [row[:3] for row in world.rows()] == [row[:3] for row in before]
    work.roll_back()
    assert world.rows() == before


def test_the_episodes_of_a_shadow_are_its_own(world):
    def stored():
        rows = world.ports.tables.query(EPISODES.name, "default")
        return [msgspec.json.decode(row.value, type=Episode) for row in rows]

    told = stored()
    work = world.plan(T0, T0 + 12 * HOUR)
    work.replay()
    found = [each for shard in range(SHARDS) for each in works.shadow_episodes(world.ports.blobs, work.plan, shard)]
    rules = {each.id for each in told if each.detector.startswith("rule:")}
    assert {each.id for each in found if each.detector.startswith("rule:")} == rules
    assert stored() == told
