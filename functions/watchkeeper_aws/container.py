"""The composition root: what a container of a function holds for as long as it lives, built once and when needed."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchkeeper.errors import ConfigError
from watchkeeper.ports import Ports
from watchkeeper_adapters.claim_check import ClaimChecked
from watchkeeper_adapters.cloud.container import CloudContainer, language_model_of, receivers_of, wall_clock
from watchkeeper_adapters.kafka.connection import Connection
from watchkeeper_adapters.kafka.stream import KafkaStream
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

    from watchkeeper.ports import Receiver
    from watchkeeper_aws.pushes import Pushes

HOUR_MS = 3_600_000
SOCKET_LIVES_S = 7200.0  # what API Gateway gives a connection at most
PUSH_WAIT_S = 1.0  # for each request by which a listener is told


class Container(CloudContainer):
    """Everything by which a function reaches AWS. `ports` may be given, and so may the `clock`: in tests."""

    def __init__(self, settings: Settings, ports: Ports | None = None, clock: Callable[[], int] = wall_clock) -> None:
        """Nothing is opened yet."""
        super().__init__(
            ports,
            clock,
            shards=settings.shards,
            reserve_ms=settings.reserve_ms,
            budget=settings.budget,
            metered=METERED,
            knowledge=Path(__file__).parents[1] / settings.knowledge_base,
            waits_ms=round(settings.waiting_hours * HOUR_MS),
        )
        self.settings, self.shadow_ms = settings, round(settings.shadow_hours * HOUR_MS)

    def open_ports(self) -> Ports:
        """Kafka, DynamoDB and S3."""
        settings = self.settings
        if not settings.bucket:
            raise ConfigError("WATCHKEEPER_BUCKET is not set: state has to be somewhere")
        blobs = S3Blobs(self.client("s3"), settings.bucket)
        stream = KafkaStream(self._connection(), prefix=settings.kafka_prefix, partitions=settings.partitions)
        model_secret = self.secrets.fields(settings.model_secret) if settings.model_secret else {}
        return Ports(
            ClaimChecked(stream, blobs),
            self.tables,
            blobs,
            DynamoMeter(self.client("dynamodb"), settings.table_prefix),
            contextlib.nullcontext,
            language_model_of(settings.model_url, settings.model_name, model_secret),
            self._receivers(),
        )

    @functools.cached_property
    def tables(self) -> DynamoTables:
        """The tables, those of the runtime included."""
        return DynamoTables(self.client("dynamodb"), self.settings.table_prefix, {CONNECTIONS: SOCKET_LIVES_S})

    def open_pushes(self) -> Pushes | None:
        """Told once and briefly: who listens can ask, and the stage has more to do."""
        settings = self.settings
        if not settings.sockets_url:
            return None
        from watchkeeper_aws.pushes import Pushes

        region, where = settings.region, settings.sockets_url
        dynamodb = client("dynamodb", region=region, endpoint=settings.endpoint, tries=1, wait_s=PUSH_WAIT_S)
        gateway = client("apigatewaymanagementapi", region=region, endpoint=where, tries=1, wait_s=PUSH_WAIT_S)
        return Pushes(DynamoTables(dynamodb, settings.table_prefix, {CONNECTIONS: SOCKET_LIVES_S}), gateway)

    @functools.cached_property
    def secrets(self) -> SecretStore:
        """Secrets by name."""
        return SecretStore(self.client("secretsmanager"))

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 has no types
        """A client of a service of AWS; asked again, the same."""
        return _client(service, self.settings.region, self.settings.endpoint, self.settings.aws_tries)

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
            receivers |= receivers_of(self.secrets.fields(settings.receivers_secret))
        return receivers


@functools.cache
def container() -> Container:
    """This process's. ConfigError: the environment says what cannot be."""
    return Container(read_settings())


@functools.cache
def _client(service: str, region: str, endpoint: str, tries: int) -> Any:  # noqa: ANN401 - boto3 has no types
    return client(service, region=region, endpoint=endpoint, tries=tries)
