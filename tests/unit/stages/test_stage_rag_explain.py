"""rag_explain: anomalies into episodes, one report and one alert for each, and a model's words where there is one."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.stages.driving import HOUR, MINUTE, NOW, SECOND, Drive
from watchkeeper.errors import ModelError, Unavailable
from watchkeeper.explaining.episodes import STALE_MS
from watchkeeper.ids import episode_id
from watchkeeper.memory import memory_ports
from watchkeeper.ports import Completion
from watchkeeper.published import CURRENT_CUTOFF
from watchkeeper.records import Anomaly, Cutoff, MetricView, Origin, Severity, Switches
from watchkeeper.stages.rag_explain import WAIT_MS
from watchkeeper.topology import CUTOFFS, DASHBOARD_ALERTS, EPISODES, REPORTS

RULE = "rule:pump.flow-low"


def edge(phase, at, *, since=0, offset=None, detector=RULE, device="pump-1", **more):
    """An edge `at` seconds of the episode that opened at `since` seconds."""
    given = {
        "id": f"{device}-{detector}-{phase}-{since}-{at}", "tenant": "default", "site": "north", "device": device,
        "episode": episode_id("default", device, detector, NOW + since * SECOND),
        "device_class": "pump", "detector": detector, "phase": phase, "ts": NOW + at * SECOND,
        "severity": Severity.WARNING, "summary": "Flow is low", "since": NOW + since * SECOND, "received": NOW,
        "metric": "flow", "metrics": {"flow": MetricView(70.0, contribution=1.0)}, "runbook": "pump-pressure-loss.md",
        "origin": None if offset is None else Origin("rule_check", "data-processing-output", 0, offset),
    }  # fmt: skip
    return Anomaly(**(given | more))


def alerts(drive):
    return [(a.status, (a.ts - NOW) // SECOND) for a in drive.came(DASHBOARD_ALERTS)]


def episodes(drive):
    return drive.rows(EPISODES, "default")


class FakeModel:
    """A language model that says what it is told to; an exception is raised."""

    def __init__(self, *answers):
        self.answers, self.prompts = list(answers), []

    def complete(self, system, prompt, schema):
        self.prompts.append(prompt)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Completion(json.dumps(answer), "small-model", 100, 20)


GOOD = {
    "what": "The pump loses its suction and delivers less than it should.",
    "causes": ["A leak in the discharge line"], "steps": ["Close the isolating valve"], "sources": [2, 1],
}  # fmt: skip


def with_model(*answers):
    model = FakeModel(*answers)
    return Drive("rag_explain", memory_ports(1, language_model=model)), model


# --- episodes -------------------------------------------------------------------------------------------------------


def test_an_anomaly_that_opens_becomes_an_episode_with_a_report_and_an_alert():
    drive = Drive("rag_explain")
    drive.take(edge("open", 30, since=30, offset=1, severity=Severity.CRITICAL))
    [episode] = episodes(drive)
    assert (episode.device, episode.detector, episode.opened, episode.closed) == (
        "pump-1",
        RULE,
        NOW + 30 * SECOND,
        None,
    )
    [alert] = drive.came(DASHBOARD_ALERTS)
    assert (alert.id, alert.status, alert.severity, alert.pages) == (episode.id, "firing", Severity.CRITICAL, True)
    assert (alert.title, alert.category, alert.received) == ("Flow is low (pump-1)", "hydraulic", NOW)
    assert alert.report == drive.row(REPORTS, "default", episode.id)
    assert alert.report.sources[0].file == "pump-pressure-loss.md"


def test_an_episode_is_open_until_it_clears_and_counts_its_readings():
    drive = Drive("rag_explain")
    drive.take(edge("open", 0, offset=1))
    drive.take(edge("update", 60, offset=2, count=60, severity=Severity.CRITICAL, score=2.0))
    drive.take(edge("update", 120, offset=3, count=55))
    [episode] = episodes(drive)
    assert (episode.count, episode.closed, episode.severity, episode.last) == (
        116,
        None,
        Severity.CRITICAL,
        NOW + 120_000,
    )
    assert episode.anomaly.phase == "update"  # the one with the highest score
    drive.take(edge("clear", 150, offset=4, count=20))
    [episode] = episodes(drive)
    assert (episode.count, episode.closed, episode.closed_because) == (136, NOW + 150_000, "clear")
    assert alerts(drive) == [("firing", 0), ("resolved", 150)]


def test_every_device_and_detector_has_an_episode_of_its_own():
    drive = Drive("rag_explain")
    drive.take(edge("open", 0), edge("open", 0, device="pump-2"), edge("open", 0, detector="model", runbook=""))
    assert len({episode.id for episode in episodes(drive)}) == 3
    assert alerts(drive) == [("firing", 0)] * 3


def test_what_opens_clears_and_opens_in_one_batch_is_two_episodes():
    drive = Drive("rag_explain")
    drive.take(edge("open", 0, offset=1), edge("clear", 5, offset=2), edge("open", 9, since=9, offset=3))
    first, second = episodes(drive)
    assert (first.closed, second.closed) == (NOW + 5 * SECOND, None)
    assert sorted(alerts(drive)) == [("firing", 0), ("firing", 9), ("resolved", 5)]


def test_a_clear_of_what_nobody_opened_says_nothing():
    drive = Drive("rag_explain")
    drive.take(edge("clear", 5))
    assert (episodes(drive), alerts(drive)) == ([], [])


def test_an_update_whose_opening_was_lost_opens_the_episode_as_of_its_beginning():
    drive = Drive("rag_explain")
    drive.take(edge("update", 60, since=-10))
    [episode] = episodes(drive)
    assert (episode.opened, episode.last) == (NOW - 10 * SECOND, NOW + 60 * SECOND)
    assert alerts(drive) == [("firing", 60)]


def test_a_hole_in_the_data_is_an_event_that_is_over_at_once_and_pages_nobody():
    drive = Drive("rag_explain")
    drive.take(edge("event", 0, detector="gap", severity=Severity.INFO, runbook=""))
    [episode] = episodes(drive)
    assert episode.closed == NOW
    assert [(a.status, a.pages) for a in drive.came(DASHBOARD_ALERTS)] == [("firing", False), ("resolved", False)]


def test_a_backfill_is_explained_and_pages_nobody():
    drive, model = with_model(GOOD)
    drive.take(edge("open", 0, backfill=True), edge("clear", 60, backfill=True))
    assert [a.pages for a in drive.came(DASHBOARD_ALERTS)] == [False, False]
    assert drive.row(REPORTS, "default", episodes(drive)[0].id).sources
    drive.tick()
    assert model.prompts == []


def test_an_episode_that_began_in_a_backfill_and_goes_on_live_pages():
    drive = Drive("rag_explain")
    drive.take(edge("open", 0, offset=1, backfill=True), edge("update", 60, offset=2, backfill=True))
    drive.came(DASHBOARD_ALERTS)
    drive.take(edge("update", 120, offset=3, received=NOW + 120_000), edge("update", 180, offset=4))
    [alert] = drive.came(DASHBOARD_ALERTS)
    assert (alert.status, alert.pages, alert.received) == ("firing", True, NOW + 120_000)
    drive.take(edge("clear", 200, offset=5))
    assert [a.pages for a in drive.came(DASHBOARD_ALERTS)] == [True]


def test_one_that_ends_live_was_over_before_anybody_could_act():
    drive = Drive("rag_explain")
    drive.take(edge("open", 0, offset=1, backfill=True), edge("clear", 60, offset=2))
    assert [a.pages for a in drive.came(DASHBOARD_ALERTS)] == [False, False]


def test_a_worker_that_dies_as_an_episode_goes_live_pages_all_the_same():
    drive = Drive("rag_explain")
    drive.take(edge("open", 0, offset=1, backfill=True))
    drive.came(DASHBOARD_ALERTS)
    drive.put(edge("update", 60, offset=2))
    with drive.crash_at("stream", "append"):
        drive.take()
    drive.take()
    assert [(a.status, a.pages) for a in drive.came(DASHBOARD_ALERTS)] == [("firing", True)]


STORY = [
    edge("open", 0, offset=1), edge("update", 60, offset=2, count=60), edge("clear", 90, offset=3, count=30),
    edge("open", 95, since=95, offset=4), edge("update", 155, since=95, offset=5, count=60),
    edge("event", 160, since=160, offset=6, detector="gap", severity=Severity.INFO, runbook=""),
    edge("clear", 190, since=95, offset=7, count=40), edge("open", 195, since=195, offset=8),
]  # fmt: skip


@settings(max_examples=60)
@given(
    cuts=st.lists(st.integers(1, 8), min_size=1, max_size=8),
    crashes=st.lists(
        st.none()
        | st.tuples(st.sampled_from([("tables", "put"), ("stream", "append"), ("blobs", "put")]), st.integers(1, 4)),
        max_size=8,
    ),
)
def test_whatever_crashes_and_however_batches_are_cut_the_episodes_are_the_same_and_each_alert_is_said(cuts, crashes):
    calm = Drive("rag_explain")
    calm.take(*STORY)
    drive = Drive("rag_explain")
    drive.put(*STORY)
    for turn in range(len(STORY) + len(crashes)):
        limit = cuts[turn % len(cuts)]
        crash = crashes[turn] if turn < len(crashes) else None
        if crash is None:
            drive.take(limit=limit)
            continue
        (port, method), call = crash
        try:
            with drive.crash_at(port, method, call=call):
                drive.take(limit=limit)
        except AssertionError:
            pass  # fewer calls than that: nothing crashed
    assert episodes(drive) == episodes(calm)
    said = {(a.id, a.status, a.ts, a.pages) for a in drive.came(DASHBOARD_ALERTS)}
    assert said == {(a.id, a.status, a.ts, a.pages) for a in calm.came(DASHBOARD_ALERTS)}


def test_counts_are_not_doubled_where_a_batch_comes_again():
    drive = Drive("rag_explain")
    drive.take(edge("open", 0, offset=1))
    with drive.crash_at("blobs", "put"):
        drive.take(edge("update", 60, offset=2, count=60))
    drive.take()
    assert episodes(drive)[0].count == 61


def test_two_workers_on_one_shard_make_one_episode():
    drive = Drive("rag_explain")
    other = Drive("rag_explain", drive.ports)
    drive.put(edge("open", 0, offset=1))
    messages = drive.ports.stream.read(drive.topic.name, 0, -1, 10)
    drive.runner.take(0, messages)
    other.runner.take(0, messages)
    assert [episode.count for episode in episodes(drive)] == [1]


# --- episodes that nobody ends --------------------------------------------------------------------------------------


def test_an_episode_of_which_nothing_more_is_heard_is_closed_and_resolved():
    drive = Drive("rag_explain")
    drive.take(edge("open", 0, offset=1))
    drive.tick(after=STALE_MS)
    assert alerts(drive) == [("firing", 0)]
    drive.tick(after=1)
    [episode] = episodes(drive)
    assert (episode.closed, episode.closed_because) == (NOW, "nothing more was heard of it")
    assert alerts(drive) == [("resolved", 0)]
    drive.tick(after=HOUR)
    assert alerts(drive) == []


def test_whoever_is_spoken_of_is_not_stale():
    drive = Drive("rag_explain")
    drive.take(edge("open", 0, offset=1))
    drive.now += STALE_MS - 1
    drive.take(edge("update", 60, offset=2))
    drive.tick(after=HOUR)
    assert [status for status, _ in alerts(drive)] == ["firing"]


def test_silence_is_not_over_because_nothing_is_heard():
    drive = Drive("rag_explain")
    drive.take(edge("open", 0, detector="silence:device.silent", runbook="device-silent.md"))
    drive.tick(after=10 * STALE_MS)
    assert alerts(drive) == [("firing", 0)]
    drive.take(edge("clear", 9999, detector="silence:device.silent", offset=2))
    assert alerts(drive) == [("resolved", 9999)]


def test_an_episode_closed_as_stale_that_turns_out_to_go_on_is_open_again():
    drive = Drive("rag_explain")
    drive.take(edge("open", 0, offset=1))
    drive.tick(after=STALE_MS + 1)
    drive.take(edge("update", 60, offset=2))
    assert alerts(drive) == [("firing", 0), ("resolved", 0), ("firing", 60)]
    assert episodes(drive)[0].closed is None
    drive.tick(after=STALE_MS + 1)
    assert alerts(drive) == [("resolved", 60)]


# --- a model's words ------------------------------------------------------------------------------------------------


def test_a_models_text_follows_as_an_update_of_the_alert():
    drive, model = with_model(GOOD)
    drive.take(edge("open", 0, offset=1))
    assert [a.report.written_by for a in drive.came(DASHBOARD_ALERTS)] == ["rules"]
    assert model.prompts == []  # a slow model delays nobody
    counts = drive.tick(after=5 * SECOND)
    [alert] = drive.came(DASHBOARD_ALERTS)
    assert (alert.status, alert.report.written_by, alert.report.what) == ("update", "small-model", GOOD["what"])
    assert alert.report == drive.row(REPORTS, "default", alert.id)
    assert "Passage 1, pump-pressure-loss.md" in model.prompts[0]
    assert (counts["model_calls"], counts["prompt_tokens"], counts["completion_tokens"]) == (1, 100, 20)
    drive.tick(after=MINUTE)
    assert len(model.prompts) == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (GOOD | {"sources": [1, 77]}, "cites passages it was not given: [77]"),
        (GOOD | {"what": "No"}, "does not fit the schema"),
        (GOOD | {"silence": "everything"}, "does not fit the schema"),
        (ModelError("it refuses"), "it refuses"),
    ],
)
def test_an_answer_that_cannot_be_believed_is_dropped_for_the_deterministic_report(answer, why):
    drive, model = with_model(answer)
    drive.take(edge("open", 0, offset=1))
    [alert] = drive.came(DASHBOARD_ALERTS)
    counts = drive.tick()
    kept = drive.row(REPORTS, "default", alert.id)
    assert why in kept.rejected
    assert msgspec.structs.replace(kept, rejected="") == alert.report
    assert alerts(drive) == []
    assert counts["model_answers_rejected"] == 1
    drive.tick(after=MINUTE)
    assert len(model.prompts) == 1


def test_a_model_that_is_away_is_asked_again_until_it_answers():
    drive, model = with_model(Unavailable("down"), Unavailable("down"), GOOD)
    drive.take(edge("open", 0, offset=1))
    for _ in range(4):
        drive.tick(after=5 * SECOND)
        drive.restart()
    assert len(model.prompts) == 3
    assert [status for status, _ in alerts(drive)] == ["firing", "update"]


def test_a_model_that_stays_away_is_let_be_in_the_end():
    drive, model = with_model(Unavailable("down"))
    drive.take(edge("open", 0, offset=1))
    drive.tick(after=WAIT_MS)
    assert len(model.prompts) == 1
    drive.tick(after=1)
    drive.tick(after=1)
    assert len(model.prompts) == 1
    assert [status for status, _ in alerts(drive)] == ["firing"]


def test_no_model_is_called_while_the_budget_has_switched_it_off():
    drive, model = with_model(GOOD)
    off = msgspec.json.encode(Cutoff("degrade", NOW, "2026-11", Switches(model_calls=False), Switches()))
    drive.take(edge("open", 0, offset=1))
    drive.ports.tables.put(CUTOFFS.name, CURRENT_CUTOFF, off)
    drive.tick(after=MINUTE)
    drive.take(edge("open", 100, since=100, offset=2))
    drive.tick(after=MINUTE)
    assert model.prompts == []
    drive.ports.tables.put(CUTOFFS.name, CURRENT_CUTOFF, msgspec.json.encode(Cutoff("ok")))
    drive.tick(after=MINUTE)
    assert len(model.prompts) == 1  # for what waited; what opened in between stays with its runbook


def test_a_worker_that_dies_after_the_model_has_answered_keeps_one_report_in_its_words():
    drive, model = with_model(GOOD)
    drive.take(edge("open", 0, offset=1))
    drive.came(DASHBOARD_ALERTS)
    with drive.crash_at("stream", "append"):
        drive.tick()
    drive.tick(after=5 * SECOND)
    [episode] = episodes(drive)
    assert drive.row(REPORTS, "default", episode.id).written_by == "small-model"
    assert len(model.prompts) <= 2


def test_the_report_of_an_opening_that_comes_again_does_not_replace_the_models():
    drive, _ = with_model(GOOD)
    opening = edge("open", 0, detector="silence:device.silent", runbook="device-silent.md")
    drive.take(opening)
    drive.tick()
    drive.take(opening)  # a timer that had died says it again
    assert drive.row(REPORTS, "default", opening.episode).written_by == "small-model"
    assert len(episodes(drive)) == 1
