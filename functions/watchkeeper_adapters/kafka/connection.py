"""How to reach a Kafka cluster: in the clear, by TLS, with a user (SCRAM), or with tokens (OAUTHBEARER, as MSK IAM)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from watchkeeper.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from confluent_kafka import KafkaException

log = logging.getLogger(__name__)
Security = Literal["plaintext", "tls", "scram", "token"]
Token = Callable[[], tuple[str, float]]  # a token, and the epoch seconds at which it expires
LARGEST_MESSAGE = 900_000  # bytes; brokers take 1,048,588 with all that is around it unless they are told otherwise


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster and how to log in. `ca`: a PEM file of the authority to trust, where it is not the system's.

    `timeout_s` bounds every call: after it, Unavailable. `token` is asked whenever a token is about to expire.
    """

    brokers: str
    security: Security = "plaintext"
    user: str = ""
    password: str = ""
    ca: str = ""
    token: Token | None = None
    timeout_s: float = 10.0

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
            "logger": log,
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


_PROTOCOLS: dict[Security, str] = {
    "plaintext": "PLAINTEXT",
    "tls": "SSL",
    "scram": "SASL_SSL",
    "token": "SASL_SSL",
}


def away(what: str, error: KafkaException) -> Unavailable:
    """What a failure of Kafka is to the pipeline: the partition waits. What was asked of it may have happened."""
    return Unavailable(f"Kafka: {what}: {error.args[0] if error.args else error}")
