"""The composition root: what a container of a function holds for as long as it lives, built once and when needed."""

from __future__ import annotations

import contextlib
import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchkeeper.bundles import bundle_in_force, stored_bundle
from watchkeeper.cost.budget import Budget
from watchkeeper.errors import ConfigError
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Ports
from watchkeeper.published import Published
from watchkeeper.run import Runner
from watchkeeper_adapters.claim_check import ClaimChecked
from watchkeeper_adapters.kafka.connection import Connection
from watchkeeper_adapters.kafka.stream import KafkaStream
from watchkeeper_adapters.knowledge_files import publish_in_company, read_files
from watchkeeper_aws.blobs import S3Blobs
from watchkeeper_aws.meter import DynamoMeter
from watchkeeper_aws.names import CONNECTIONS
from watchkeeper_aws.prices import METERED
from watchkeeper_aws.secret_store import SecretStore
from watchkeeper_aws.services import client
from watchkeeper_aws.settings import Settings, read_settings
from watchkeeper_aws.tables import DynamoTables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from watchkeeper.ports import Blobs, LanguageModel, Receiver
    from watchkeeper.topology import Topic

SOCKET_LIVES_S = 7200.0  # what API Gateway gives a connection at most


def wall_clock() -> int:
    """Wall time, epoch ms."""
    return time.time_ns() // 1_000_000


class Container:
    """Everything by which a function reaches the world. `ports` may be given, and so may the `clock`: in tests."""

    def __init__(self, settings: Settings, ports: Ports | None = None, clock: Callable[[], int] = wall_clock) -> None:
        """Nothing is opened yet."""
        self.settings, self.clock = settings, clock
        self._ports = ports
        self._runners: dict[tuple[str, str], Runner] = {}

    @functools.cached_property
    def ports(self) -> Ports:
        """What the stages work on."""
        if self._ports is not None:
            return self._ports
        settings = self.settings
        if not settings.bucket:
            raise ConfigError("WATCHKEEPER_BUCKET is not set: state has to be somewhere")
        blobs = S3Blobs(self.client("s3"), settings.bucket)
        stream = KafkaStream(self._connection(), prefix=settings.kafka_prefix, partitions=settings.partitions)
        return Ports(
            ClaimChecked(stream, blobs),
            self.tables,
            blobs,
            DynamoMeter(self.client("dynamodb"), settings.table_prefix),
            contextlib.nullcontext,
            self._language_model(),
            self._receivers(),
        )

    @functools.cached_property
    def tables(self) -> DynamoTables:
        """The tables, those of the runtime included."""
        return DynamoTables(self.client("dynamodb"), self.settings.table_prefix, {CONNECTIONS: SOCKET_LIVES_S})

    @functools.cached_property
    def published(self) -> Published:
        """The knowledge in force, and all else that is published."""
        return Published(self.ports, self._bundle(self.ports.blobs), Budget(self.settings.budget, METERED))

    @functools.cached_property
    def secrets(self) -> SecretStore:
        """Secrets by name."""
        return SecretStore(self.client("secretsmanager"))

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 has no types
        """A client of a service of AWS; asked again, the same."""
        return _client(service, self.settings.region, self.settings.endpoint, self.settings.aws_tries)

    def runner(self, stage: str, topic: Topic | None) -> Runner:
        """Who runs a stage for a topic; it keeps its states from one invocation to the next."""
        where = (stage, topic.name if topic else "-")
        if where not in self._runners:
            shards = self.settings.shards
            self._runners[where] = Runner(STAGES[stage], topic, self.ports, self.published, shards, self.clock)
        return self._runners[where]

    def knowledge_folder(self) -> Path:
        """The knowledge base that was deployed with the function."""
        return Path(__file__).parents[1] / self.settings.knowledge_base

    def publish_knowledge(self) -> str:
        """Put the deployed knowledge base in force, unless it has not changed since it was; answers what is."""
        bundle = Bundle.from_files(read_files(self.knowledge_folder()))
        return publish_in_company(self.ports.blobs, bundle, "deployed", now=self.clock()).version

    def _bundle(self, blobs: Blobs) -> Bundle:
        version = bundle_in_force(blobs).version or self.publish_knowledge()
        return stored_bundle(blobs, version)

    def _connection(self) -> Connection:
        settings = self.settings
        if settings.kafka_login == "none":
            return Connection(brokers=settings.kafka_brokers, timeout_s=settings.kafka_timeout_s)
        if settings.kafka_login == "scram":
            said = self.secrets.fields(settings.kafka_secret)
            return Connection(
                brokers=settings.kafka_brokers,
                security="scram",
                user=said.get("username", ""),
                password=said.get("password", ""),
                timeout_s=settings.kafka_timeout_s,
            )
        from watchkeeper_aws.msk_token import msk_token

        return Connection(
            brokers=settings.kafka_brokers,
            security="token",
            token=msk_token(settings.region),
            timeout_s=settings.kafka_timeout_s,
        )

    def _receivers(self) -> Mapping[str, Receiver]:
        """SNS, where its topics are known, and those of the secret."""
        settings = self.settings
        receivers: dict[str, Receiver] = {}
        if settings.alert_topics:
            from watchkeeper_aws.sns import SnsReceiver

            sns = SnsReceiver(self.client("sns"), settings.alert_topics)
            receivers[sns.name] = sns
        if settings.receivers_secret:
            from watchkeeper_adapters.receiver_settings import open_receivers

            said = self.secrets.fields(settings.receivers_secret)
            specs = [spec.strip() for spec in said.get("receivers", "").split(",") if spec.strip()]
            receivers |= open_receivers(specs, webhook_secret=said.get("webhook_secret", ""))
        return receivers

    def _language_model(self) -> LanguageModel | None:
        settings = self.settings
        if not settings.model_url:
            return None
        from watchkeeper_adapters.language_model import OpenAICompatible

        key = self.secrets.fields(settings.model_secret).get("model_key", "") if settings.model_secret else ""
        return OpenAICompatible(settings.model_url, settings.model_name, key)


@functools.cache
def container() -> Container:
    """This process's. ConfigError: the environment says what cannot be."""
    return Container(read_settings())


@functools.cache
def _client(service: str, region: str, endpoint: str, tries: int) -> Any:  # noqa: ANN401 - boto3 has no types
    return client(service, region=region, endpoint=endpoint, tries=tries)
