import hashlib
import hmac
import time

import msgspec
import pytest

from tests.unit.adapters.stand_ins import CUT, HANG, StandIn, nowhere
from watchkeeper.errors import Unavailable
from watchkeeper.records import Alert
from watchkeeper_adapters.receivers import WebhookReceiver


@pytest.fixture
def hook(hook_server):
    return WebhookReceiver("hook", f"{hook_server.url}/hooks/T0KEN-in-path?sig=S1GN-in-query", timeout_s=5)


def test_an_alert_is_posted_whole(hook, hook_server, alert):
    hook.send(alert)
    (seen,) = hook_server.seen
    assert msgspec.json.decode(seen.body, type=Alert) == alert
    assert seen.path == "/hooks/T0KEN-in-path?sig=S1GN-in-query"
    assert seen.headers["Content-Type"] == "application/json"
    assert "X-Watchkeeper-Signature" not in seen.headers


@pytest.mark.parametrize("status", ["firing", "update", "resolved"])
def test_the_event_is_named_in_a_header(hook, hook_server, alert, status):
    hook.send(msgspec.structs.replace(alert, status=status))
    headers = hook_server.seen[0].headers
    assert headers["X-Watchkeeper-Event"] == status
    assert headers["Idempotency-Key"].startswith(f"ep-1:{status}:")


def test_the_same_sent_again_has_the_same_key_and_an_escalation_another(hook, hook_server, alert):
    again = msgspec.structs.replace(alert, title=f"Not acknowledged: {alert.title}")
    for each in (alert, alert, again):
        hook.send(each)
    first, second, third = (seen.headers["Idempotency-Key"] for seen in hook_server.seen)
    assert first == second != third


def test_whoever_has_the_secret_can_check_who_sent_it_and_when(hook_server, alert):
    hook = WebhookReceiver("hook", hook_server.url, secret="shared secret", clock=lambda: 1_760_000_000.7)
    hook.send(alert)
    (seen,) = hook_server.seen
    assert seen.headers["X-Watchkeeper-Timestamp"] == "1760000000"
    expected = hmac.new(b"shared secret", b"1760000000." + seen.body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(seen.headers["X-Watchkeeper-Signature"], f"sha256={expected}")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_trouble_that_may_pass_is_unavailable(hook, hook_server, alert, status):
    hook_server.script = [(status, {}, b"not\nnow")]
    with pytest.raises(Unavailable) as caught:
        hook.send(alert)
    assert str(caught.value) == f"{hook_server.url} answers {status}: not now"
    assert len(hook_server.seen) == 1


def test_a_refusal_says_its_status_and_the_beginning_of_its_body(hook, hook_server, alert):
    hook_server.script = [(404, {}, b"no such channel" + b"." * 9000)]
    with pytest.raises(Unavailable, match=r"answers 404, .*check its URL and secret.*: no such channel\.+…$") as caught:
        hook.send(alert)
    assert len(str(caught.value)) < 400


def test_a_refusal_without_a_body_says_its_status(hook, hook_server, alert):
    hook_server.script = [(500, {}, b"")]
    with pytest.raises(Unavailable, match=r"answers 500$"):
        hook.send(alert)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(hook, hook_server, alert, status):
    other = StandIn((204, {}, b""))
    hook_server.script = [(status, {"Location": f"{other.url}/SECRET-elsewhere"}, b"")]
    try:
        with pytest.raises(Unavailable, match=f"answers {status}, a redirect") as caught:
            hook.send(alert)
    finally:
        other.close()
    assert other.seen == []
    assert "elsewhere" not in str(caught.value)


def test_a_receiver_that_hangs_is_given_up_in_time(hook_server, alert):
    hook_server.script = [(200, {}, HANG)]
    hook = WebhookReceiver("hook", hook_server.url, timeout_s=0.6)
    started = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer in time"):
        hook.send(alert)
    assert time.monotonic() - started < 0.6 + 0.5


def test_a_receiver_that_is_not_there_is_unavailable(alert):
    url = nowhere()
    with pytest.raises(Unavailable, match=f"{url} cannot be reached: .*refused"):
        WebhookReceiver("hook", url).send(alert)


def test_a_refusal_that_breaks_off_is_unavailable(hook, hook_server, alert):
    hook_server.script = [(500, {}, CUT)]
    with pytest.raises(Unavailable):
        hook.send(alert)


def test_secrets_are_in_no_message_and_no_log_even_where_the_receiver_repeats_them(hook_server, alert, caplog):
    caplog.set_level("DEBUG")
    place = hook_server.url.removeprefix("http://")
    url = f"http://user-name:pass%20word@{place}/hooks/T0KEN%2Fpart?sig=S1GN+value#FRAGMENT"
    hook = WebhookReceiver("hook", url, secret="SHARED-secret")
    echo = b"Cannot POST /hooks/T0KEN%2Fpart?sig=S1GN+value for user-name:pass word T0KEN/part S1GN value SHARED-secret"
    hook_server.script = [(204, {}, b""), (404, {}, echo)]
    hook.send(alert)
    with pytest.raises(Unavailable) as caught:
        hook.send(alert)
    said = str(caught.value) + caplog.text
    assert "Cannot POST" in said
    assert not [secret for secret in ("T0KEN", "S1GN", "user-name", "pass", "SHARED", "FRAGMENT") if secret in said]
