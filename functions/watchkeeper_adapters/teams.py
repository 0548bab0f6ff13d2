"""Alerts as cards in Microsoft Teams, by the webhook of a workflow there ("When a Teams webhook request is received").

Source of the formats: Microsoft Learn, "Create incoming webhooks with Workflows for Microsoft Teams" and "Adaptive
Cards"; a message may have 28 KB with all that is around it, so a card is kept under 20.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from watchkeeper.records import Alert, Severity
from watchkeeper_adapters.plain import excerpt
from watchkeeper_adapters.receivers import WebhookReceiver

LARGEST = 20_000  # bytes
LENGTHS = (600, 200, 50)  # signs of each text; the first with which the card fits
CAUSES, STEPS, SOURCES = 3, 6, 5
COLOURS = {
    Severity.INFO: "accent",
    Severity.WARNING: "warning",
    Severity.CRITICAL: "attention",
    Severity.EMERGENCY: "attention",
}


class TeamsReceiver(WebhookReceiver):
    """Posts alerts to a workflow's webhook, whose URL is its password: see `WebhookReceiver`.

    That a workflow takes an alert (202) does not say that it shows the card: its runs do, in Teams.
    """

    def body(self, alert: Alert) -> bytes:
        """A message with one card."""
        return message_of(alert)


def message_of(alert: Alert) -> bytes:
    """The alert as JSON of a message, of `LARGEST` bytes at most: long texts are cut."""
    messages = (_message(alert, longest) for longest in LENGTHS)
    return next(message for message in messages if len(message) <= LARGEST)


def _message(alert: Alert, longest: int) -> bytes:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": list(_blocks(alert, longest)),
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return msgspec.json.encode({"type": "message", "attachments": [attachment]})


def _blocks(alert: Alert, longest: int) -> Iterator[dict[str, Any]]:
    is_over = alert.status == "resolved"
    state = "RESOLVED" if is_over else f"{alert.severity.upper()}{', update' if alert.status == 'update' else ''}"
    colour = "good" if is_over else COLOURS[alert.severity]
    yield _block(
        _run(state, weight="Bolder", color=colour), _run(f"  {excerpt(alert.title, longest)}", weight="Bolder")
    )
    opened = datetime.fromtimestamp(alert.opened / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    places = [alert.device, alert.device_class, alert.site and f"site {alert.site}", f"since {opened}", alert.detector]
    yield _block(_run(excerpt(", ".join(place for place in places if place), longest), isSubtle=True))
    if alert.report:
        yield _block(_run(excerpt(alert.report.what, longest)))
        yield from _listed("Likely causes", alert.report.causes[:CAUSES], longest)
        yield from _listed(
            "What to do", [f"{n}. {step}" for n, step in enumerate(alert.report.steps[:STEPS], 1)], longest
        )
        sources = dict.fromkeys(f"{source.file} ({source.heading})" for source in alert.report.sources)
        yield from _listed("Sources", list(sources)[:SOURCES], longest)
    yield _block(_run(f"alert {excerpt(alert.id, longest)}", isSubtle=True, size="Small"))


def _listed(label: str, texts: Sequence[str], longest: int) -> Iterator[dict[str, Any]]:
    if texts:
        yield _block(_run(label, weight="Bolder"))
    for text in texts:
        yield _block(_run(excerpt(text, longest)), spacing="Small")


def _block(*runs: dict[str, Any], **more: str) -> dict[str, Any]:
    """Rich text, which takes no Markdown: what devices or models wrote cannot become a link."""
    return {"type": "RichTextBlock", "inlines": list(runs), **more}


def _run(text: str, **more: str | bool) -> dict[str, Any]:
    return {"type": "TextRun", "text": text, **more}
