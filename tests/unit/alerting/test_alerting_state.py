"""States that are one struct: they come back as they were, and nothing else is taken for one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.alerting.state import NOTIFY_CODEC, NotifyState, Unanswered
from watchkeeper.errors import StateError
from watchkeeper.explaining.state import EXPLAIN_CODEC, ExplainState, Open, Waiting
from watchkeeper.records import Alert, Delivery, Severity

ALERT = Alert(
    id="e1", tenant="default", site="", device="p", device_class="pump", detector="model", status="firing",
    severity=Severity.CRITICAL, title="t", opened=1, ts=2,
)  # fmt: skip
PENDING = {"r/e1": Delivery("e1/firing", "r", ALERT, 3, 99)}
STATES = [
    (NOTIFY_CODEC, NotifyState(1, PENDING, {"e1": Unanswered("default", 5, 2)})),
    (EXPLAIN_CODEC, ExplainState(1, {"e1": Open("default", 5)}, [Waiting("default", "e1", 6)])),
]  # fmt: skip
each = pytest.mark.parametrize(("codec", "state"), STATES, ids=["notify", "rag_explain"])


@each
def test_a_state_comes_back_as_it_was(codec, state):
    assert codec.decode(codec.encode(state)) == state
    assert codec.decode(codec.encode(codec.empty())) == codec.empty()


@each
def test_two_empty_states_share_nothing(codec, state):
    for name in state.__struct_fields__:
        one, other = getattr(codec.empty(), name), getattr(codec.empty(), name)
        assert isinstance(one, int) or one is not other


@each
@pytest.mark.parametrize("version", [0, 2])
def test_a_state_of_another_version_is_refused_and_says_of_which(codec, state, version):
    other = msgspec.msgpack.encode(msgspec.structs.replace(state, v=version))
    with pytest.raises(StateError, match=f"of version {version}; this release reads 1"):
        codec.decode(other)


@each
@given(junk=st.binary(max_size=60))
def test_bytes_that_are_no_state_are_refused(codec, state, junk):
    with pytest.raises(StateError, match=type(state).__name__):
        codec.decode(junk)


@each
def test_a_state_that_was_cut_off_is_refused(codec, state):
    whole = codec.encode(state)
    for length in range(len(whole)):
        with pytest.raises(StateError):
            codec.decode(whole[:length])
