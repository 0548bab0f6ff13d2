import msgspec
import pytest

from watchkeeper.errors import ConfigError, Unavailable
from watchkeeper.ports import takes
from watchkeeper.records import Alert, Severity
from watchkeeper_adapters.receiver_settings import open_receiver, open_receivers
from watchkeeper_adapters.receivers import ConsoleReceiver, FileReceiver, WebhookReceiver


def test_a_file_gets_one_line_an_alert(tmp_path, alert):
    path = tmp_path / "alerts.jsonl"
    receiver = open_receiver(f"file={path}")
    assert isinstance(receiver, FileReceiver)
    resolved = msgspec.structs.replace(alert, status="resolved", title="two\nlines")
    receiver.send(alert)
    receiver.send(resolved)
    assert [msgspec.json.decode(line, type=Alert) for line in path.read_bytes().splitlines()] == [alert, resolved]


def test_a_file_that_cannot_be_written_is_unavailable(tmp_path, alert):
    receiver = FileReceiver(tmp_path / "gone" / "alerts.jsonl")
    with pytest.raises(Unavailable, match=r"alerts\.jsonl: cannot be written to"):
        receiver.send(alert)


def test_the_console_is_a_receiver_of_its_own_name():
    receiver = open_receiver(" console ")
    assert isinstance(receiver, ConsoleReceiver)
    assert receiver.name == "console"


def test_a_webhook_signs_with_the_secret_it_is_given(hook_server, alert):
    receiver = open_receiver(f"webhook={hook_server.url}/a=b?c=d", webhook_secret="secret")
    assert isinstance(receiver, WebhookReceiver)
    receiver.send(alert)
    assert hook_server.seen[0].path == "/a=b?c=d"
    assert hook_server.seen[0].headers["X-Watchkeeper-Signature"].startswith("sha256=")


def test_names_tell_receivers_apart_and_are_the_same_at_every_start():
    specs = ["console", "webhook=https://hooks.example.com/one", "webhook=https://hooks.example.com/two", "console"]
    first, second = open_receivers(specs), open_receivers(specs)
    assert list(first) == list(second)
    assert len(first) == 3
    assert all(name == receiver.name for name, receiver in first.items())
    assert sum(name.startswith("webhook-hooks.example.com-") for name in first) == 2


def test_severities_before_a_receiver_are_those_it_is_for(hook_server, alert):
    spec = f"emergency + critical/webhook={hook_server.url}/a/b=c"
    receiver = open_receiver(spec)
    assert receiver.severities == {Severity.CRITICAL, Severity.EMERGENCY}
    assert [takes(receiver, severity) for severity in Severity] == [False, False, True, True]
    assert receiver.name == open_receiver(spec.replace("emergency + critical", "critical+emergency")).name
    receiver.send(alert)
    assert hook_server.seen[0].path == "/a/b=c"
    same = f"webhook={hook_server.url}/a/b=c"
    assert len(open_receivers([same, f"info/{same}", f"critical/{same}", f"info/{same}"])) == 3
    assert all(takes(open_receiver(same), severity) for severity in Severity)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("consol", r"unknown receiver 'consol' \(did you mean 'console'\?\); write console, webhook="),
        ("webhok=https://host/SECRET", r"unknown receiver 'webhok' \(did you mean 'webhook'\?\)"),
        ("pagerduty=SECRET", "unknown receiver 'pagerduty'"),
        ("", "unknown receiver ''"),
        ("https://host/SECRET?a=b", "bare address"),
        ("console=red", "takes no value"),
        ("webhook", "without a URL"),
        ("file=", "without a path"),
        ("webhook=ftp://host/SECRET", "receiver webhook: not an address"),
        ("webhook=https://host:SECRET/", "host or port"),
        ("webhook=https://host/a SECRET", "not an address"),
        ("webhook=https:///SECRET", "not an address"),
        (
            "crit/teams=https://host/SECRET",
            r"severity 'crit' is none.*: info, warning, critical, emergency; write",
        ),
        ("critical,info/teams=https://host/SECRET", "severity 'critical,info' is none"),
        ("/teams=https://host/SECRET", "severity '' is none"),
        ("critical/team=https://host/SECRET", r"unknown receiver 'team' \(did you mean 'teams'\?\)"),
        ("critical/https://host/SECRET", "bare address"),
        ("file=/no/such/directory/alerts.jsonl", "not a file in a directory that is there"),
    ],
)
def test_a_setting_that_is_wrong_says_what_to_write_and_repeats_no_secret(spec, says):
    with pytest.raises(ConfigError, match=says) as caught:
        open_receiver(spec)
    assert "SECRET" not in str(caught.value)
