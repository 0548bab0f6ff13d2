"""How to reach a Kafka cluster: in the clear, by TLS, with a user (SCRAM), or with tokens (OAUTHBEARER, as MSK IAM)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from confluent_kafka import KafkaError, KafkaException

from watchkeeper.errors import ConfigError, Unavailable
from watchkeeper_adapters.kafka.voice import ClientLog, Voice

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

Security = Literal["plaintext", "tls", "scram", "token"]
Token = Callable[[], tuple[str, float]]  # a token, and the epoch seconds at which it expires
LARGEST_MESSAGE = 900_000  # bytes; brokers take 1,048,588 with all that is around it unless they are told otherwise
REMEMBERED_S = 60.0  # librdkafka repeats what it has told of a broker only after 30 s
FIRST_TRY_S = 0.5


class Trouble:
    """What librdkafka has told last of the way to the brokers; its calls themselves only say that time is up."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._error: KafkaError | None = None
        self._at = 0.0

    def hear(self, error: KafkaError) -> None:
        """What clients call (`error_cb`). That all brokers are down explains nothing, and does not hide what does."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - its public name
            self._error, self._at = error, time.monotonic()

    def recent(self) -> KafkaError | None:
        """The last of it, if it was lately."""
        return self._error if time.monotonic() - self._at < REMEMBERED_S else None


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster and how to log in. `ca`: a PEM file of the authority to trust, where it is not the system's.

    `timeout_s` bounds every call: after it, Unavailable. `token` is asked whenever a token is about to expire.
    `trouble` is what its clients hear of the brokers, `voice` says in the log what they say.
    """

    brokers: str
    security: Security = "plaintext"
    user: str = ""
    password: str = ""
    ca: str = ""
    token: Token | None = None
    timeout_s: float = 10.0
    trouble: Trouble = msgspec.field(default_factory=Trouble)
    voice: Voice = msgspec.field(default_factory=Voice)

    def options(self) -> dict[str, Any]:
        """What librdkafka's clients have in common. ConfigError: the parts do not go together."""
        self._check()
        options: dict[str, Any] = {
            "bootstrap.servers": self.brokers,
            "client.id": "watchkeeper",
            "security.protocol": _PROTOCOLS[self.security],
            "socket.timeout.ms": round(self.timeout_s * 1000),
            "socket.connection.setup.timeout.ms": max(1000, round(self.timeout_s * 500)),
            "reconnect.backoff.max.ms": 2000,
            "topic.metadata.refresh.interval.ms": 60_000,
            "logger": ClientLog(self.voice, self._todo_of),
            "error_cb": self.trouble.hear,
        }
        if self.ca:
            options["ssl.ca.location"] = self.ca
        if self.security == "scram":
            options |= {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": self.user, "sasl.password": self.password}
        if self.security == "token":
            token = self.token
            options |= {"sasl.mechanism": "OAUTHBEARER", "oauth_cb": lambda _config: token() if token else ("", 0.0)}
        return options

    def _check(self) -> None:
        if not self.brokers:
            raise ConfigError("Kafka: no brokers are named; write HOST:PORT, several separated by commas")
        if (self.security == "scram") != bool(self.user and self.password):
            raise ConfigError("Kafka: a user and a password go with security scram, and it needs both")
        if (self.security == "token") != (self.token is not None):
            raise ConfigError("Kafka: security token needs somebody who makes the tokens")
        if self.ca and self.security == "plaintext":
            raise ConfigError("Kafka: an authority to trust is of no use where security is plaintext")

    def topics(self, admin: AdminClient) -> dict[str, int]:
        """The topics there are and their numbers of partitions. ConfigError, soon: we are refused, or do not trust it.

        Unavailable: it cannot be had in `timeout_s`. A port that speaks TLS says nothing to who does not.
        """
        left, wait = self.timeout_s, FIRST_TRY_S
        while True:
            wait = left if left < 2 * wait else wait
            try:
                return {name: len(topic.partitions) for name, topic in admin.list_topics(timeout=wait).topics.items()}
            except KafkaException as error:
                admin.poll(0)
                told = self.trouble.recent()
                if told is not None and told.code() in _REFUSALS:
                    raise ConfigError(f"Kafka: {self._advice(told)}") from None
                left -= wait
                if left <= 0:
                    hint = " (if the cluster speaks TLS or asks for a login: kafka_tls, kafka_ca, kafka_user)"
                    raise self.away(f"first contact{hint * (self.security == 'plaintext')}", error) from error
                wait *= 2

    def away(self, what: str, error: object) -> Unavailable:
        """What a failure of Kafka is to the pipeline: the partition waits. What was asked of it may have happened."""
        told = self.trouble.recent()
        cause = error.args[0] if isinstance(error, KafkaException) and error.args else error
        return Unavailable(f"Kafka: {what}: {cause}" + (f"; {self._advice(told)}" if told else ""))

    def _advice(self, told: KafkaError) -> str:
        """What librdkafka has told, and what to do about it."""
        todo = self._todo(told.code())
        return f"{todo}. {told.str()}" if todo else told.str()

    def _todo_of(self, line: str) -> str:
        """What to do about a line of librdkafka's log, which has no code."""
        return next((self._todo(code) for words, code in _IN_LINES.items() if words in line), "")

    def _todo(self, code: int) -> str:
        if code == KafkaError._AUTHENTICATION:  # noqa: SLF001 - its public name
            if self.security != "scram":
                return "the token is refused: check who it is made for, and what that may do in the cluster"
            known = "that the cluster knows it for SCRAM-SHA-512"
            return f"user {self.user!r} is refused: check the user, its password, and {known}"
        if code == KafkaError._SSL:  # noqa: SLF001 - its public name
            return "TLS fails: check that this port speaks TLS, and give the authority of its certificate (kafka_ca)"
        return ""


_IN_LINES = {
    "SASL authentication error": KafkaError._AUTHENTICATION,  # noqa: SLF001 - its public name
    "SSL handshake failed": KafkaError._SSL,  # noqa: SLF001 - its public name
}
_REFUSALS = {KafkaError._AUTHENTICATION, KafkaError._SSL}  # noqa: SLF001 - their public names
_PROTOCOLS: dict[Security, str] = {
    "plaintext": "PLAINTEXT",
    "tls": "SSL",
    "scram": "SASL_SSL",
    "token": "SASL_SSL",
}
