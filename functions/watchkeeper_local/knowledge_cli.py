"""The commands about knowledge: `watchkeeper rules …` and `watchkeeper bundle …`, as argparse sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from watchkeeper_local.settings import Settings

    Commands = argparse._SubParsersAction[Any]  # noqa: SLF001 - argparse names the type nowhere else
    AddSettings = Callable[[argparse.ArgumentParser], None]
    SettingsOf = Callable[[argparse.Namespace], Settings]


def add_rules(commands: Commands) -> None:
    """`rules check` and `rules test`, which need no running Watchkeeper and change nothing."""
    rules = commands.add_parser("rules", help="check a knowledge base, or try its rules on recorded data")
    actions = rules.add_subparsers(required=True, metavar="ACTION", dest="action")

    check = actions.add_parser("check", help="every mistake of a knowledge base, as file:line:column")
    check.add_argument("folder", nargs="?", default="", metavar="FOLDER", help="default: the one that is shipped")
    check.set_defaults(run=_check)

    test = actions.add_parser("test", help="when rules would have fired on recorded data")
    test.add_argument("file", metavar="FILE", help="a file of rules, or the folder of a knowledge base")
    test.add_argument(
        "--on", nargs="+", required=True, metavar="CSV", help="recorded data, in any form that `replay` reads"
    )
    test.add_argument(
        "--class", dest="device_class", default="", metavar="NAME", help="take every device for one of this class"
    )
    test.set_defaults(run=_test)


def add_bundle(commands: Commands, add_settings: AddSettings, settings_of: SettingsOf) -> None:
    """`bundle list|show|diff|publish|rollback`, over a data folder, whether or not Watchkeeper runs there."""
    bundle = commands.add_parser("bundle", help="which knowledge is in force; publish another, or roll back")
    actions = bundle.add_subparsers(required=True, metavar="ACTION", dest="action")
    about = {
        "list": ("what was put in force and when, the latest first", ()),
        "show": ("the files, rules and runbooks of a bundle", (("version", "?", "default: the one in force"),)),
        "diff": (
            "what differs between two bundles, each a version or a folder",
            (("a", None, "version or folder"), ("b", None, "version or folder")),
        ),
        "publish": ("put a folder's bundle in force", (("folder", "?", "default: --knowledge-base"),)),
        "rollback": ("put the bundle before in force again", (("version", "?", "or this one"),)),
    }
    for name, (text, places) in about.items():
        action = actions.add_parser(name, help=text)
        for place, count, what in places:
            action.add_argument(place, nargs=count, default="", metavar=place.upper(), help=what)
        add_settings(action)
        action.set_defaults(run=lambda parsed: _bundle(settings_of(parsed), parsed))


def _check(parsed: argparse.Namespace) -> int:
    from watchkeeper_local.rules_command import check_rules

    return check_rules(parsed.folder)


def _test(parsed: argparse.Namespace) -> int:
    from watchkeeper_local.rules_command import try_rules_on

    return try_rules_on(parsed.file, parsed.on, parsed.device_class)


def _bundle(settings: Settings, parsed: argparse.Namespace) -> int:
    from watchkeeper_local import bundle_command

    with bundle_command.opened(settings) as blobs:
        match parsed.action:
            case "list":
                return bundle_command.show_list(blobs)
            case "show":
                return bundle_command.show(blobs, parsed.version)
            case "diff":
                return bundle_command.show_diff(blobs, parsed.a, parsed.b)
            case "publish":
                return bundle_command.publish(blobs, parsed.folder or settings.knowledge_base)
            case _:
                return bundle_command.roll_back(blobs, parsed.version)
