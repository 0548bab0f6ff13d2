"""An app on stand-ins: what infra/ would deploy, as far as the functions see it."""

import contextlib
import dataclasses
import itertools
import json
from pathlib import Path

import msgspec
import pytest
from azure.cosmos import CosmosClient

from tests.azure_functions.events import batch_of
from tests.azure_functions.package import LACKING, DeployedWorker, Packages, environment_of
from tests.emulators.azure import new_container, storage_connection
from tests.emulators.functions_worker import MISSING, FunctionsWorker, http_request
from tests.emulators.interference import Interference, interfering
from tests.emulators.servers import EventHubs, NotToBeHadError, event_hubs
from tests.once import shared_folder
from watchkeeper.ports import Ports, Stored
from watchkeeper.records import DeadLetter
from watchkeeper.topology import DEAD_LETTER, TOPICS
from watchkeeper_adapters.claim_check import whole
from watchkeeper_azure.app import open_app
from watchkeeper_azure.container import Container
from watchkeeper_azure.names import SHARD
from watchkeeper_azure.provision import make_tables
from watchkeeper_azure.settings import Settings

PARTITIONS, SHARDS = 2, 8
KNOWLEDGE_BASE = Path(__file__).parents[2] / "knowledge_base"
_numbers = itertools.count()


@dataclasses.dataclass
class Stack:
    """All functions in one app; `cosmos` and `blobs` are what may go wrong between it and those stores."""

    settings: Settings
    container: Container
    worker: FunctionsWorker | DeployedWorker
    hubs: EventHubs
    cosmos: Interference
    blobs: Interference

    @property
    def ports(self) -> Ports:
        return self.container.ports

    def take(self, stage, topic, messages, partition=0):
        """A batch of one partition, to the function of a stage."""
        events, metadata = batch_of(topic, partition, messages, stage)
        return self.worker.invoke(f"{stage}_{topic.replace('-', '_')}", "events", events, metadata)

    def post(self, function, path, body=b"", method="POST", **headers):
        """A request to a function; answers the status and what was said."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        asked = http_request(method, f"https://app.azurewebsites.net{path}", sent, named)
        answer = self.worker.invoke(function, "req", asked)
        assert answer.fine, answer.error
        return answer.status, json.loads(answer.value) if answer.value[:1] in b"{[" else answer.value

    def messages(self, topic):
        """All that is on a hub, by partition."""
        return {
            place: [
                whole(Stored(number, int(told.pop(SHARD)), body, told), self.ports.blobs)
                for number, body, told in self.hubs.events(topic, place)
            ]
            for place in range(PARTITIONS if TOPICS[topic].sharded else 1)
        }


HERE, NEW = "here", "python-3.13"


def pytest_generate_tests(metafunc):
    """Where a module says so, the app of the stack is also the package, but for tests that reach into its process."""
    if "stack" in metafunc.fixturenames:
        both = getattr(metafunc.module, "ALSO_DEPLOYED", False)
        reaches_in = metafunc.definition.get_closest_marker("in_process")
        metafunc.parametrize("stack", [HERE, NEW] if both and not reaches_in else [HERE], indirect=True, scope="module")


@pytest.fixture(scope="session")
def packages(tmp_path_factory, worker_id):
    return Packages(shared_folder("azure-packages", tmp_path_factory, worker_id))


@pytest.fixture(scope="module")
def stack(request, cosmos_server, blob_server, tmp_path_factory, packages):
    deployed = request.param == NEW
    if lacking := LACKING if deployed else MISSING:
        pytest.skip(lacking)
    database = f"stack-{next(_numbers)}"
    with CosmosClient(f"http://{cosmos_server.address}", cosmos_server.key) as client:
        make_tables(client.create_database_if_not_exists(database))
    try:
        with (
            event_hubs(tmp_path_factory.mktemp("hubs-of-the-app")) as hubs,
            interfering(cosmos_server.address) as cosmos,
            interfering(blob_server.address) as blobs,
        ):
            for topic in TOPICS.values():
                hubs.make_hub(topic.name, PARTITIONS if topic.sharded else 1)
            settings = Settings(
                event_hubs_connection=hubs.connection,
                event_hubs_timeout_s=2.0,
                cosmos=f"http://{cosmos.address}",
                cosmos_key=cosmos_server.key,
                cosmos_database=database,
                storage_connection=storage_connection(blobs),
                blob_container=new_container(blob_server),
                shards=SHARDS,
                partitions=PARTITIONS,
                knowledge_base=str(KNOWLEDGE_BASE),
                budget=1000.0,
            )
            container = Container(settings)
            with contextlib.ExitStack() as running:
                running.callback(container.close)
                if deployed:
                    package = packages.unpacked(
                        "explain", "web", "train"
                    )  # all that a function needs is in one of them
                    log = tmp_path_factory.mktemp("deployed") / "app.log"
                    worker = DeployedWorker(package, packages, log, environment_of(settings))
                    running.callback(worker.close)
                    assert (worker.about["python"], worker.about["azure"][1][:2]) == ([3, 13], "2.")
                else:
                    worker = FunctionsWorker(open_app(lambda: container, ""))
                yield Stack(settings, container, worker, hubs, cosmos, blobs)
    except NotToBeHadError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def _nothing_goes_wrong(request):
    yield
    if "stack" in request.fixturenames:
        stack = request.getfixturevalue("stack")
        stack.cosmos.plan = stack.blobs.plan = lambda _asked: None


@pytest.fixture
def since(stack):
    """What topics have got since the test began, in one list."""
    before = {name: {place: len(found) for place, found in stack.messages(name).items()} for name in TOPICS}
    return lambda name: [m for place, found in stack.messages(name).items() for m in found[before[name][place] :]]


@pytest.fixture
def letters(since):
    """The dead letters since the test began."""
    return lambda: [msgspec.json.decode(message.value, type=DeadLetter) for message in since(DEAD_LETTER.name)]
