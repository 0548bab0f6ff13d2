import pytest

from watchkeeper.errors import ModelError, Unavailable
from watchkeeper_adapters.circuit import CircuitBreaker


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Dependency:
    """Raises what it is told to, and counts how often it was asked."""

    def __init__(self):
        self.error = None
        self.asked = 0

    def __call__(self):
        self.asked += 1
        if self.error:
            raise self.error
        return "answer"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return CircuitBreaker(failures=3, open_s=60, clock=clock)


@pytest.fixture
def dependency():
    return Dependency()


def fail(breaker, dependency, times):
    dependency.error = Unavailable("down")
    for _ in range(times):
        with pytest.raises(Unavailable):
            breaker.call(dependency)


def test_what_works_passes_through(breaker, dependency):
    assert [breaker.call(dependency) for _ in range(5)] == ["answer"] * 5


def test_after_three_failures_in_a_row_it_refuses_without_asking_and_says_why(breaker, dependency):
    fail(breaker, dependency, 3)
    with pytest.raises(Unavailable, match=r"not asked: 3 failures in a row, next try in 60 s \(down\)"):
        breaker.call(dependency)
    assert dependency.asked == 3


def test_an_answer_in_between_starts_the_count_again(breaker, dependency):
    fail(breaker, dependency, 2)
    dependency.error = None
    breaker.call(dependency)
    fail(breaker, dependency, 3)
    assert dependency.asked == 6


def test_an_answer_that_cannot_be_used_is_an_answer(breaker, dependency):
    fail(breaker, dependency, 2)
    dependency.error = ModelError("refused")
    with pytest.raises(ModelError):
        breaker.call(dependency)
    fail(breaker, dependency, 3)
    assert dependency.asked == 6


def test_after_its_time_one_call_goes_through_and_closes_it(breaker, dependency, clock):
    fail(breaker, dependency, 3)
    clock.now += 60
    dependency.error = None
    assert breaker.call(dependency) == "answer"
    fail(breaker, dependency, 2)
    dependency.error = None
    assert breaker.call(dependency) == "answer"


def test_a_trial_that_fails_keeps_it_open_for_as_long_again(breaker, dependency, clock):
    fail(breaker, dependency, 3)
    clock.now += 60
    fail(breaker, dependency, 1)
    clock.now += 59
    with pytest.raises(Unavailable, match="not asked: 4 failures"):
        breaker.call(dependency)
    assert dependency.asked == 4


def test_while_a_trial_is_on_its_way_others_are_refused(breaker, dependency, clock):
    fail(breaker, dependency, 3)
    clock.now += 60
    dependency.error = None

    def trial():
        with pytest.raises(Unavailable, match="not asked"):
            breaker.call(dependency)
        return "trial"

    assert breaker.call(trial) == "trial"
    assert dependency.asked == 3


def test_a_trial_that_never_comes_back_does_not_shut_it_for_ever(breaker, dependency, clock):
    fail(breaker, dependency, 3)
    clock.now += 60
    dependency.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        breaker.call(dependency)
    clock.now += 60
    dependency.error = None
    assert breaker.call(dependency) == "answer"
