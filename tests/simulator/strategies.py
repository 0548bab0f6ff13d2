"""Scenarios and disturbances for hypothesis, simple ones first, so that what fails shrinks to what can be read."""

from hypothesis import strategies as st

from tests.simulator.faults import Fault
from tests.simulator.scenario import STORIES, Scenario, Story
from tests.simulator.world import BATCH, Disturbance

stories = st.builds(
    Story,
    kind=st.sampled_from(sorted(STORIES, key=list(STORIES).index)),
    start=st.integers(0, 12),
    length=st.integers(1, 12),
    returns=st.booleans(),
)
scenarios = st.builds(Scenario, stories=st.lists(stories, min_size=1, max_size=5).map(tuple), night=st.booleans())

gaps = st.one_of(st.integers(0, 30), st.integers(0, 200), st.integers(0, 600))
kinds = st.sampled_from(["crash", "rewind", "outage", "conflict", "rival"])
faults = st.builds(Fault, gap=gaps, kind=kinds, size=st.integers(1, 12))
disturbances = st.builds(
    Disturbance,
    faults=st.lists(faults, max_size=25).map(tuple),
    cuts=st.lists(st.one_of(st.integers(1, 6), st.just(BATCH)), min_size=1, max_size=4).map(tuple),
    steps=st.lists(st.integers(0, 6), min_size=1, max_size=4).map(tuple),
    copies=st.sampled_from([0, 2, 3, 7]),
)
