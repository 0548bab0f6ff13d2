"""Receivers from settings: `console`, `webhook=https://…`, `teams=https://…`, `file=/path`.

For some severities only, they stand before it: `critical+emergency/teams=https://…`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from watchkeeper.errors import ConfigError
from watchkeeper.knowledge.problems import did_you_mean, quote
from watchkeeper.ports import Receiver
from watchkeeper.records import Severity
from watchkeeper_adapters.address import address_of
from watchkeeper_adapters.receivers import BySeverity, ConsoleReceiver, FileReceiver, WebhookReceiver
from watchkeeper_adapters.teams import TeamsReceiver

KINDS = ("console", "file", "teams", "webhook")
USAGE = "write console, webhook=https://host/path, teams=https://host/path or file=/path"
SEVERITIES = "write severities as in critical+emergency/teams=https://host/path"


def open_receivers(specs: Iterable[str], *, webhook_secret: str = "") -> dict[str, Receiver]:
    """The receivers of a list of settings by their names, as `Ports` takes them; one given twice is there once."""
    receivers = (open_receiver(spec, webhook_secret=webhook_secret) for spec in specs)
    return {receiver.name: receiver for receiver in receivers}


def open_receiver(spec: str, *, webhook_secret: str = "") -> Receiver:
    """The receiver that a setting asks for. Its name is made from the setting and keeps what is pending for it.

    ConfigError: unknown severity or kind, no URL or path, or a path in a directory that is not there. It never repeats
    a URL.
    """
    words, slash, _ = spec.partition("=")[0].partition("/")
    if slash and not words.strip().startswith(("http:", "https:")):
        inner = open_receiver(spec.partition("/")[2], webhook_secret=webhook_secret)
        return BySeverity(inner, frozenset(_severity(word.strip()) for word in words.split("+")))
    kind, given, target = (part.strip() for part in spec.partition("="))
    if kind.startswith(("http://", "https://")):
        raise ConfigError(f"a receiver is given as a bare address; {USAGE}")
    if kind not in KINDS:
        raise ConfigError(f"unknown receiver {quote(kind)}{did_you_mean(kind, KINDS)}; {USAGE}")
    if kind == "console":
        if given:
            raise ConfigError(f"receiver console takes no value; {USAGE}")
        return ConsoleReceiver()
    if not target:
        raise ConfigError(f"receiver {kind} is given without {'a path' if kind == 'file' else 'a URL'}; {USAGE}")
    if kind != "file":
        name = _name(kind, address_of(target, f"receiver {kind}").host, target)
        if kind == "teams":
            return TeamsReceiver(name, target)
        return WebhookReceiver(name, target, secret=webhook_secret)
    path = Path(target).absolute()
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"receiver file: {str(path)!r} is not a file in a directory that is there")
    return FileReceiver(path, _name(kind, path.stem, str(path)))


def _severity(word: str) -> Severity:
    if word not in list(Severity):
        near, known = did_you_mean(word, list(Severity)), ", ".join(Severity)
        raise ConfigError(f"a receiver's severity {quote(word)} is none{near}: {known}; {SEVERITIES}")
    return Severity(word)


def _name(kind: str, of: str, whole: str) -> str:
    """A name that tells receivers of one kind apart, and tells nothing of a secret in the URL."""
    return f"{kind}-{of}-{hashlib.sha256(whole.encode()).hexdigest()[:6]}"
