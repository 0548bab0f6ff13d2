import io

import msgspec
import pytest

from watchkeeper.errors import Unavailable
from watchkeeper.records import Severity
from watchkeeper_adapters.receivers import ConsoleReceiver


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(alert, stream=None):
    stream = stream or io.StringIO()
    ConsoleReceiver(stream).send(alert)
    return stream.getvalue()


def test_a_firing_alert_is_a_block_with_its_cause_first_steps_and_sources(alert):
    assert shown(alert).splitlines() == [
        "CRITICAL  Unusual vibration (pump-07)",
        "  since     2025-10-09 08:53:20 UTC, site north, pump, model",
        "  what      Unusual vibration on pump-07 (north).",
        "  likely    A bearing is worn",
        "  do first  1. Listen to the bearing",
        "            2. Check the alignment",
        "            3. Look at the grease",
        "  sources   pump-bearing-wear.md (Likely causes), pump-bearing-wear.md (What to do)",
        "  alert     ep-1",
        "",
    ]


def test_an_alert_without_a_report_says_what_there_is(alert):
    text = shown(msgspec.structs.replace(alert, report=None, site=""))
    assert text.startswith("CRITICAL  Unusual vibration (pump-07)\n  since")
    assert "likely" not in text


def test_an_update_is_one_line_that_names_who_wrote_it(alert, report):
    report = msgspec.structs.replace(report, what="The bearing is\nfailing.", written_by="small-model")
    text = shown(msgspec.structs.replace(alert, status="update", report=report))
    assert text == "UPDATE    CRITICAL  Unusual vibration (pump-07): The bearing is failing. (small-model)  [ep-1]\n"


@pytest.mark.parametrize(("lasted", "text"), [(-5, "0 s"), (90_000, "90 s"), (600_000, "10 min"), (9_000_000, "2.5 h")])
def test_a_resolved_alert_is_one_line_that_says_how_long_it_was(alert, lasted, text):
    line = shown(msgspec.structs.replace(alert, status="resolved", resolved=alert.opened + lasted))
    assert line == f"RESOLVED  Unusual vibration (pump-07), after {text}  [ep-1]\n"


def test_colours_are_for_terminals_only_and_not_where_they_are_not_wanted(alert, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert shown(alert, Terminal()).startswith("\x1b[31mCRITICAL\x1b[0m  ")
    assert "\x1b" not in shown(alert)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown(alert, Terminal())


@pytest.mark.parametrize("status", ["firing", "update", "resolved"])
def test_nothing_that_a_device_or_a_model_wrote_can_steer_the_terminal(alert, report, status):
    evil = "x\x1b[2J\x9b31m\r\n\x00\u202egnp\u2028\x07y"
    report = msgspec.structs.replace(report, what=evil, causes=(evil,), steps=(evil,), written_by=evil)
    fields = dict.fromkeys(("id", "site", "device", "device_class", "detector", "title"), evil)
    text = shown(msgspec.structs.replace(alert, status=status, report=report, **fields))
    assert all(sign == "\n" or sign.isprintable() for sign in text)
    assert len(text.strip("\n").splitlines()) == (1 if status != "firing" else 7)


@pytest.mark.parametrize("severity", list(Severity))
def test_every_severity_has_a_colour(alert, severity):
    assert "\x1b[" in shown(msgspec.structs.replace(alert, severity=severity), Terminal())


def test_a_console_that_cannot_show_a_sign_shows_another(alert):
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as stream:
        ConsoleReceiver(stream).send(msgspec.structs.replace(alert, title="Temperature 90 °C"))
        assert raw.getvalue().startswith(b"CRITICAL  Temperature 90 ?C\n")


def test_a_console_that_is_gone_is_unavailable(alert):
    stream = io.StringIO()
    stream.close()
    with pytest.raises(Unavailable, match="console"):
        ConsoleReceiver(stream).send(alert)


def test_without_a_stream_it_is_standard_output(alert, capsys):
    ConsoleReceiver().send(alert)
    assert capsys.readouterr().out.startswith("CRITICAL")
