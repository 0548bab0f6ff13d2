"""An alert as people read it on a console: a block when it fires, one line when there is news of it or it is over."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from datetime import UTC, datetime

from watchkeeper.records import Alert, Severity
from watchkeeper_adapters.plain import one_line

WIDTH = 100
LABEL = 10
STEPS = 3
_COLOURS = {Severity.INFO: "36", Severity.WARNING: "33", Severity.CRITICAL: "31", Severity.EMERGENCY: "1;31"}
_OVER = "32"


def text_of(alert: Alert, *, colour: bool = False) -> str:
    """The alert as text that ends in a new line. What devices or models wrote in it cannot steer a terminal."""
    if alert.status == "resolved":
        lasted = _duration((alert.resolved or alert.ts) - alert.opened)
        return (
            f"{_paint('RESOLVED', _OVER, on=colour)}  {one_line(alert.title)}, after {lasted}  [{one_line(alert.id)}]\n"
        )
    severity = _paint(alert.severity.upper(), _COLOURS[alert.severity], on=colour)
    title = one_line(alert.title)
    if alert.status == "update":
        news = f": {one_line(alert.report.what)} ({one_line(alert.report.written_by)})" if alert.report else ""
        return f"UPDATE    {severity}  {title}{news}  [{one_line(alert.id)}]\n"
    return "\n".join([f"{severity}  {title}", *_block(alert)]) + "\n\n"


def _block(alert: Alert) -> Iterable[str]:
    opened = datetime.fromtimestamp(alert.opened / 1000, UTC).isoformat(" ", "seconds").removesuffix("+00:00")
    site = f", site {one_line(alert.site)}" if alert.site else ""
    yield from _item("since", f"{opened} UTC{site}, {one_line(alert.device_class)}, {one_line(alert.detector)}")
    report = alert.report
    if report:
        yield from _item("what", report.what)
        yield from _item("likely", report.causes[0] if report.causes else "unknown")
        for number, step in enumerate(report.steps[:STEPS], start=1):
            yield from _item("do first" if number == 1 else "", f"{number}. {step}")
        sources = dict.fromkeys(f"{source.file} ({source.heading})" for source in report.sources)
        yield from _item("sources", ", ".join(sources) or "none")
    yield from _item("alert", alert.id)


def _item(label: str, text: str) -> list[str]:
    first, rest = f"  {label:<{LABEL}}", " " * (LABEL + 2)
    return textwrap.wrap(
        one_line(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _duration(ms: int) -> str:
    seconds = max(ms, 0) / 1000
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _paint(text: str, code: str, *, on: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if on else text
