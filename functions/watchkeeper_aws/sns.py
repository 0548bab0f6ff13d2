"""Alerts to SNS: a topic for each severity, and attributes that subscriptions filter by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from watchkeeper.errors import ConfigError
from watchkeeper.records import Alert, Severity
from watchkeeper_adapters.console_text import text_of
from watchkeeper_adapters.plain import one_line
from watchkeeper_aws.services import waiting_for

LONGEST_SUBJECT = 100  # characters, ASCII only
LARGEST_JSON = 200_000  # bytes; SNS takes 256 KB, and charges for each 64 of them


class SnsReceiver:
    """Publishes an alert as text for people (e-mail), and as JSON for all others.

    `topics`: the topic's ARN for each severity. The attributes are severity, status, tenant, site, device,
    device_class and pages (`true`, `false`); one that would be empty is left out, since SNS takes none. What SNS has
    taken it delivers in its own time and more than once now and then: the alert's id and status tell repetitions.
    """

    def __init__(self, sns: Any, topics: Mapping[str, str], name: str = "sns") -> None:  # noqa: ANN401 - no types
        """ConfigError: a severity has no topic."""
        if missing := [severity for severity in Severity if severity not in topics]:
            raise ConfigError(f"receiver {name}: no topic is given for severity {', '.join(missing)}")
        self.name = name
        self._sns, self._topics = sns, dict(topics)

    def send(self, alert: Alert) -> None:
        """See `ports.Receiver`."""
        body = msgspec.json.encode(alert)
        if len(body) > LARGEST_JSON:
            body = msgspec.json.encode(msgspec.structs.replace(alert, report=None))
        text = text_of(alert)
        forms = {"default": body.decode(), "email": text, "sms": one_line(alert.title)[:140]}
        with waiting_for(f"SNS {self.name}"):
            self._sns.publish(
                TopicArn=self._topics[alert.severity],
                Subject=_subject(alert),
                Message=msgspec.json.encode(forms).decode(),
                MessageStructure="json",
                MessageAttributes=_attributes(alert),
            )


def _subject(alert: Alert) -> str:
    line = one_line(f"{alert.status} {alert.severity}: {alert.title}").encode("ascii", "replace").decode()
    return line[:LONGEST_SUBJECT].strip()


def _attributes(alert: Alert) -> dict[str, dict[str, str]]:
    said = {
        "severity": alert.severity,
        "status": alert.status,
        "tenant": alert.tenant,
        "site": alert.site,
        "device": alert.device,
        "device_class": alert.device_class,
        "pages": "true" if alert.pages else "false",
    }
    return {name: {"DataType": "String", "StringValue": str(value)} for name, value in said.items() if value}
