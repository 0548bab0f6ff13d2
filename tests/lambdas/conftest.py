"""A stack on emulators: what infra/ would deploy, as far as functions see it."""

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.emulators.aws import CREDENTIALS, REGION, new_bucket, new_tables
from tests.emulators.interference import Interference, interfering
from tests.emulators.lambda_runtime import Function
from watchkeeper.ports import Ports, Stored
from watchkeeper_adapters.claim_check import ClaimChecked
from watchkeeper_adapters.kafka.connection import Connection
from watchkeeper_adapters.kafka.stream import KafkaStream
from watchkeeper_adapters.kafka.topics import make_topics
from watchkeeper_aws.container import Container
from watchkeeper_aws.settings import read_settings

PARTITIONS, SHARDS = 2, 8
KNOWLEDGE_BASE = Path(__file__).parents[2] / "knowledge_base"
_numbers = itertools.count()


@dataclasses.dataclass
class Stack:
    """Functions by name, started when they are first asked for; `ports` are what they write to; `between` may go wrong.

    `environment` is what the functions are told.
    """

    environment: dict[str, str]
    between: Interference
    container: Container
    functions: dict[str, Function] = dataclasses.field(default_factory=dict)

    @property
    def ports(self) -> Ports:
        return self.container.ports

    def messages(self, topic: str, after: Mapping[int, int] | None = None) -> dict[int, list[Stored]]:
        """All there is on a topic now, by partition, whoever wrote it: a look of its own sees the end as it is."""
        settings = self.container.settings
        stream = KafkaStream(Connection(brokers=settings.kafka_brokers), prefix=settings.kafka_prefix)
        try:
            looked = ClaimChecked(stream, self.ports.blobs)
            places = range(looked.partitions(topic))
            return {place: looked.read(topic, place, (after or {}).get(place, -1), 100_000) for place in places}
        finally:
            stream.close()

    def function(self, name: str, **more: str) -> Function:
        """A function; with other settings than the stack's it is one of its own."""
        key = f"{name} {sorted(more.items())}"
        if key not in self.functions:
            told = self.environment | {"WATCHKEEPER_STAGE": name} | more
            self.functions[key] = Function(f"watchkeeper_aws.handlers.{name}.handler", told)
        return self.functions[key]

    def invoke(self, name, event, **more):
        return self.function(name).invoke(event, **more)


@pytest.fixture(scope="module")
def stack(aws_server, kafka_server):
    environment = CREDENTIALS | {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    patch = pytest.MonkeyPatch()
    for name, value in environment.items():
        patch.setenv(name, value)
    prefix = f"stack-{next(_numbers)}-"
    connection = Connection(brokers=kafka_server.address)
    make_topics(connection, PARTITIONS, prefix=prefix)
    told = {
        "WATCHKEEPER_KAFKA_BROKERS": kafka_server.address,
        "WATCHKEEPER_KAFKA_LOGIN": "none",
        "WATCHKEEPER_KAFKA_PREFIX": prefix,
        "WATCHKEEPER_BUCKET": new_bucket(aws_server),
        "WATCHKEEPER_TABLE_PREFIX": new_tables(aws_server),
        "WATCHKEEPER_SHARDS": str(SHARDS),
        "WATCHKEEPER_PARTITIONS": str(PARTITIONS),
        "WATCHKEEPER_AWS_TRIES": "2",
        "WATCHKEEPER_KNOWLEDGE_BASE": str(KNOWLEDGE_BASE),
    }
    with interfering(aws_server.address) as between:
        container = Container(read_settings(environment | told | {"AWS_ENDPOINT_URL": f"http://{aws_server.address}"}))
        made = Stack(environment | told | {"AWS_ENDPOINT_URL": f"http://{between.address}"}, between, container)
        yield made
        for function in made.functions.values():
            function.stop()
    patch.undo()


@pytest.fixture(autouse=True)
def _nothing_goes_wrong(request):
    yield
    if "stack" in request.fixturenames:
        request.getfixturevalue("stack").between.plan = lambda _asked: None
