"""Any sequence of calls has the same effects on an adapter as on the memory one, versions aside."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.conformance.racing import won
from watchkeeper.memory import memory_ports
from watchkeeper.outcome import ABSENT, ANYWAY
from watchkeeper.ports import Key
from watchkeeper_local.sqlite import open_ports

texts = st.text(st.sampled_from("ab%_/é\U0010ffff"), min_size=1, max_size=3)
keys = st.builds(Key, st.sampled_from(["p", "q"]), texts)
expectations = st.sampled_from(["anyway", "absent", "held", "old"])


class SameAsMemory(RuleBasedStateMachine):
    """A test supplies `open_adapter`, which answers empty ports of the adapter."""

    def __init__(self):
        super().__init__()
        self.opened = self.open_adapter()
        self.pair = (self.opened, memory_ports())
        self.versions = [{}, {}]  # for each, by what was put, the versions it has answered

    def expected(self, side, what, expectation):
        seen = self.versions[side].get(what, ["never"])
        return {"anyway": ANYWAY, "absent": ABSENT, "held": seen[-1], "old": seen[0]}[expectation]

    def both_put(self, what, expectation, put):
        """`put(ports, expect)` on both; they agree on who wins."""
        results = []
        for side, ports in enumerate(self.pair):
            expect = self.expected(side, what, expectation)
            answered = self.versions[side].setdefault(what, ["never"])
            results.append(won(lambda ports=ports, expect=expect, to=answered: to.append(put(ports, expect))))
        assert results[0] == results[1]

    def agree(self, ask):
        ours, theirs = map(ask, self.pair)
        assert ours == theirs

    @rule(key=keys, value=st.binary(max_size=3), expectation=expectations)
    def put_row(self, key, value, expectation):
        self.both_put(key, expectation, lambda ports, expect: ports.tables.put("devices", key, value, expect))
        self.agree(lambda ports: [row.value for row in ports.tables.get_many("devices", [key]).values()])

    @rule(low=st.just("") | texts, high=st.just("") | texts, limit=st.integers(1, 5), descending=st.booleans())
    def query(self, low, high, limit, descending):
        def rows(ports):
            return ports.tables.query("devices", "p", low, high, limit, descending=descending)

        self.agree(lambda ports: [(row.key, row.value) for row in rows(ports)])

    @rule(key=texts, data=st.binary(max_size=3), expectation=expectations)
    def put_blob(self, key, data, expectation):
        self.both_put(key, expectation, lambda ports, expect: ports.blobs.put(key, data, expect))
        self.agree(lambda ports: [blob.data for blob in ports.blobs.get_many([key]).values()])

    @rule(gone=st.lists(texts, max_size=3))
    def delete_blobs(self, gone):
        for ports in self.pair:
            ports.blobs.delete(gone)

    @rule(prefix=st.just("") | texts)
    def list_blobs(self, prefix):
        self.agree(lambda ports: ports.blobs.list(prefix))

    def teardown(self):
        self.opened.close()


def test_sqlite_does_what_memory_does(tmp_path_factory):
    class SqliteAsMemory(SameAsMemory):
        def open_adapter(self):
            return open_ports(tmp_path_factory.mktemp("model"), partitions=4, shards=64, durable=False)

    run_state_machine_as_test(SqliteAsMemory, settings=settings(max_examples=25, stateful_step_count=40, deadline=None))
