import json

import msgspec
import pytest

from watchkeeper.errors import Unavailable
from watchkeeper.records import Source
from watchkeeper_adapters.receiver_settings import open_receiver
from watchkeeper_adapters.teams import LARGEST, TeamsReceiver, message_of


def card_of(message):
    (attachment,) = json.loads(message)["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    return attachment["content"]


def lines_of(card):
    return ["".join(run["text"] for run in block["inlines"]) for block in card["body"]]


def test_an_alert_becomes_a_card_with_its_report(alert):
    card = card_of(message_of(alert))
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert lines_of(card) == [
        "CRITICAL  Unusual vibration (pump-07)",
        "pump-07, pump, site north, since 2025-10-09 08:53:20 UTC, model",
        "Unusual vibration on pump-07 (north).",
        "Likely causes",
        "A bearing is worn",
        "The shaft is misaligned",
        "What to do",
        "1. Listen to the bearing",
        "2. Check the alignment",
        "3. Look at the grease",
        "4. Call the workshop",
        "Sources",
        "pump-bearing-wear.md (Likely causes)",
        "pump-bearing-wear.md (What to do)",
        "alert ep-1",
    ]


def test_a_card_says_what_has_changed(alert):
    over = msgspec.structs.replace(alert, status="resolved", report=None)
    news = msgspec.structs.replace(alert, status="update", report=None)
    assert lines_of(card_of(message_of(over)))[0].startswith("RESOLVED  ")
    assert lines_of(card_of(message_of(news)))[0].startswith("CRITICAL, update  ")


@pytest.mark.parametrize("sign", ["x", "é", "日", "😀", '"'])
def test_a_card_stays_small_however_long_its_texts_are(alert, report, sign):
    long = sign * 5000
    sources = tuple(Source(f"{n}{long}", long, "") for n in range(30))
    report = msgspec.structs.replace(report, what=long, causes=(long,) * 30, steps=(long,) * 30, sources=sources)
    message = message_of(msgspec.structs.replace(alert, title=long, device=long, site=long, id=long, report=report))
    assert 2_000 < len(message) <= LARGEST
    assert all(line.endswith("…") for line in lines_of(card_of(message)) if sign in line)


def test_nothing_that_a_device_or_a_model_says_is_markdown(alert):
    evil = msgspec.structs.replace(alert, title="[pay here](https://evil.example) **now**\n# big")
    blocks = card_of(message_of(evil))["body"]
    assert {block["type"] for block in blocks} == {"RichTextBlock"}  # which knows no Markdown
    assert {run["type"] for block in blocks for run in block["inlines"]} == {"TextRun"}
    assert "[pay here](https://evil.example) **now** # big" in lines_of(card_of(message_of(evil)))[0]


def test_a_workflow_gets_the_card(hook_server, alert):
    hook_server.script = [(202, {}, b"")]
    receiver = open_receiver(f"teams={hook_server.url}/workflows/1?sig=SECRET")
    assert isinstance(receiver, TeamsReceiver)
    assert receiver.name.startswith("teams-127.0.0.1-")
    receiver.send(alert)
    (seen,) = hook_server.seen
    assert seen.path == "/workflows/1?sig=SECRET"
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.body == message_of(alert)


def test_a_workflow_that_refuses_is_waited_for_and_its_url_not_shown(hook_server, alert):
    hook_server.script = [(429, {}, b"sig=SECRET-SECRET")]
    with pytest.raises(Unavailable, match="answers 429") as raised:
        open_receiver(f"teams={hook_server.url}/workflows/1?sig=SECRET-SECRET").send(alert)
    assert "SECRET" not in str(raised.value)
