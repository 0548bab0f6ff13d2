"""Secrets that are kept for a while, alerts by SNS, tokens for MSK."""

import base64
import json
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from botocore.session import Session

from tests.emulators.aws import emulated, new_alert_queue
from tests.emulators.interference import AWAY, first, interfering
from watchkeeper.errors import ConfigError, Unavailable
from watchkeeper.records import Alert, Report, Severity
from watchkeeper_aws.msk_token import msk_token
from watchkeeper_aws.secret_store import SecretStore
from watchkeeper_aws.sns import SnsReceiver

ALERT = Alert(
    id="a-1", tenant="acme", site="", device="pump-07", device_class="pump", detector="rule:pump.hot",
    status="firing", severity=Severity.CRITICAL, title="Bearing \n is hot: 98 °C", opened=1, ts=2,
)  # fmt: skip


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_secret_is_read_once_in_a_while_and_stays_in_use_while_the_service_is_away(aws, no_pauses):
    manager, clock = emulated(aws, "secretsmanager"), Clock()
    manager.create_secret(Name="kafka-user", SecretString='{"username": "wk", "password": "one"}')
    with interfering(aws.address) as between:
        store = SecretStore(emulated(between, "secretsmanager"), kept_s=60, clock=clock)
        assert store.fields("kafka-user") == {"username": "wk", "password": "one"}
        manager.put_secret_value(SecretId="kafka-user", SecretString='{"username": "wk", "password": "two"}')
        assert store.fields("kafka-user")["password"] == "one"
        assert len(between.asked) == 1
        clock.now = 61
        between.plan = first(10**9, AWAY)
        assert store.fields("kafka-user")["password"] == "one"
        between.plan = lambda _: None
        assert store.fields("kafka-user")["password"] == "two"
        between.plan = first(10**9, AWAY)
        with pytest.raises(Unavailable, match="secret other"):
            store.text("other")


def test_a_secret_that_is_no_object_says_so_without_saying_it(aws, no_pauses):
    emulated(aws, "secretsmanager").create_secret(Name="plain", SecretString="hunter2")
    with pytest.raises(ConfigError, match="secret plain: a JSON object") as raised:
        SecretStore(emulated(aws, "secretsmanager")).fields("plain")
    assert "hunter2" not in str(raised.value)


def test_an_alert_is_published_by_severity_and_can_be_filtered(aws, no_pauses):
    heard = {}
    topics = {}
    for severity in Severity:
        topics[severity], heard[severity] = new_alert_queue(aws, severity, '{"tenant": ["acme"], "pages": ["true"]}')
    receiver = SnsReceiver(emulated(aws, "sns"), topics)
    receiver.send(ALERT)
    receiver.send(msgspec.structs.replace(ALERT, tenant="other"))
    receiver.send(msgspec.structs.replace(ALERT, pages=False))
    (envelope,) = map(json.loads, heard[Severity.CRITICAL]())
    assert msgspec.json.decode(envelope["Message"], type=Alert) == ALERT
    assert envelope["Subject"] == "firing critical: Bearing is hot: 98 ?C"
    said = {name: attribute["Value"] for name, attribute in envelope["MessageAttributes"].items()}
    assert said == {
        "severity": "critical", "status": "firing", "tenant": "acme", "device": "pump-07", "device_class": "pump",
        "pages": "true",
    }  # fmt: skip
    assert heard[Severity.WARNING]() == []


def test_an_alert_with_a_report_too_long_for_sns_goes_without_it(aws, no_pauses):
    arn, heard = new_alert_queue(aws, "long")
    report = Report(
        episode="e", tenant="acme", device="pump-07", ts=2, what="x" * 250_000, confidence=1.0, causes=(), steps=(),
        sources=(), severity=Severity.CRITICAL, category="",
    )  # fmt: skip
    SnsReceiver(emulated(aws, "sns"), dict.fromkeys(Severity, arn)).send(msgspec.structs.replace(ALERT, report=report))
    (envelope,) = map(json.loads, heard())
    assert msgspec.json.decode(envelope["Message"], type=Alert) == ALERT


def test_sns_that_is_away_or_has_no_topic_is_unavailable(aws, no_pauses):
    arn, _ = new_alert_queue(aws, "away")
    with interfering(aws.address) as between:
        between.plan = first(10**9, AWAY)
        with pytest.raises(Unavailable, match="SNS sns"):
            SnsReceiver(emulated(between, "sns"), dict.fromkeys(Severity, arn)).send(ALERT)
    with pytest.raises(Unavailable, match="NotFound"):
        SnsReceiver(emulated(aws, "sns"), dict.fromkeys(Severity, arn + "-gone")).send(ALERT)
    with pytest.raises(ConfigError, match="severity info, warning, emergency"):
        SnsReceiver(emulated(aws, "sns"), {Severity.CRITICAL: arn})


def test_a_token_for_msk_is_a_signed_request_to_connect():
    session = Session()
    session.set_credentials("AKIDEXAMPLE", "secret", "session-token")
    text, expires = msk_token("eu-central-1", session)()
    signed = urlsplit(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())
    said = parse_qs(signed.query)
    assert (signed.scheme, signed.netloc) == ("https", "kafka.eu-central-1.amazonaws.com")
    assert said["Action"] == ["kafka-cluster:Connect"]
    assert said["X-Amz-Credential"][0].endswith("/eu-central-1/kafka-cluster/aws4_request")
    assert said["X-Amz-Expires"] == ["900"]
    assert said["X-Amz-Security-Token"] == ["session-token"]
    assert said["User-Agent"] == ["watchkeeper"]
    assert "secret" not in text.lower()
    assert expires > 900
