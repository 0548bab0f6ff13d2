"""The commands about detection models, `watchkeeper models …`, as argparse sees them."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from watchkeeper_local.knowledge_cli import AddSettings, Commands, SettingsOf

ABOUT = {
    "list": "the stored models, which is in force, pinned or in shadow, and how far data have drifted",
    "history": "every change of what is in force or in shadow: when, by whom, from what to what, and why",
    "train": "learn a model now and put it in shadow",
    "judge": "go on with the model in shadow now: promote it if it is not worse than the one in force",
    "promote": "put a stored model in force, whatever was found in shadow",
    "pin": "put a stored model in force and keep it",
    "unpin": "let the model in force be replaced again",
    "rollback": "put the model before in force again, and pin it",
    "drift": "look now how far data have drifted from what the model in force learnt from",
    "replay": "what would have differed in stored history with another model; nothing changes",
}
NAMED, CHANGES = ("promote", "pin", "replay"), ("train", "promote", "pin", "unpin", "rollback")


def add_models(commands: Commands, add_settings: AddSettings, settings_of: SettingsOf) -> None:
    """`models ACTION`, over a data folder, whether or not Watchkeeper runs there."""
    models = commands.add_parser(
        "models", help="which detection model is in force or in shadow, how that came about, and how to change it"
    )
    actions = models.add_subparsers(required=True, metavar="ACTION", dest="action")
    for name, text in ABOUT.items():
        action = actions.add_parser(name, help=text)
        if name in NAMED:
            action.add_argument("version", metavar="VERSION", help="the model")
        if name in CHANGES:
            action.add_argument("--why", default="", metavar="TEXT", help="the reason, for the history")
            action.add_argument("--by", default=system_user(), metavar="NAME", help="who (default: this system's user)")
        if name == "history":
            action.add_argument("--limit", type=int, default=20, metavar="N", help="the newest so many (default: 20)")
            action.add_argument("--before", type=int, default=0, metavar="NUMBER", help="only those before this change")
        if name == "replay":
            action.add_argument("--since", default="7d", metavar="TIME", help="a time, or how far back (default: 7d)")
            action.add_argument(
                "--against", default="", metavar="VERSION", help="beside this model (default: the one in force)"
            )
        add_settings(action)
        action.set_defaults(run=lambda parsed: _run(settings_of(parsed), parsed))


def system_user() -> str:
    """Who is logged in; `somebody` where the system does not know."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


def _run(settings: Any, parsed: argparse.Namespace) -> int:  # noqa: ANN401 - the settings of `settings_of`
    from watchkeeper_local import models

    if parsed.action == "history":
        return models.show_history(settings, parsed.limit, parsed.before)
    if parsed.action == "replay":
        return models.show_replay(settings, parsed.version, parsed.since, parsed.against)
    given = {name: getattr(parsed, name) for name in ("version", "why", "by") if hasattr(parsed, name)}
    return models.manage_models(settings, parsed.action, **given)
