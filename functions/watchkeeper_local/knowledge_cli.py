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


def add_rules(commands: Commands, add_settings: AddSettings, settings_of: SettingsOf) -> None:
    """`rules check` and `rules test`, which need no running Watchkeeper and change nothing."""
    rules = commands.add_parser("rules", help="check a knowledge base, or try its rules on recorded data")
    actions = rules.add_subparsers(required=True, metavar="ACTION", dest="action")

    check = actions.add_parser("check", help="every mistake of a knowledge base, as file:line:column")
    check.add_argument("folder", nargs="?", default="", metavar="FOLDER", help="default: the one that is shipped")
    check.set_defaults(run=_check)

    test = actions.add_parser("test", help="when rules would have fired on recorded or stored data")
    test.add_argument("file", metavar="FILE", help="a file of rules, or the folder of a knowledge base")
    data = test.add_mutually_exclusive_group(required=True)
    data.add_argument(
        "--on", nargs="+", metavar="DATA", help="recorded data: CSV files in any form that `replay` reads, or folders"
    )
    data.add_argument("--last", default="", metavar="DURATION", help="the data folder's readings of so long, as 7d")
    test.add_argument(
        "--class", dest="device_class", default="", metavar="NAME", help="take every device for one of this class"
    )
    test.add_argument("--png", default="", metavar="FILE", help="draw what fired: values, limits and episodes")
    add_settings(test)
    test.set_defaults(run=lambda parsed: _test(settings_of(parsed), parsed))


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


def add_reprocess(commands: Commands, add_settings: AddSettings) -> argparse.ArgumentParser:
    """`reprocess`, over a data folder, whether or not Watchkeeper runs there."""
    about = "stored readings through the stages again, into a shadow"
    reprocess: argparse.ArgumentParser = commands.add_parser("reprocess", help=about)
    actions = ("run", "list", "compare", "promote", "rollback", "discard")
    what = "run (which may be left out), list; or with an id: compare, promote, rollback, discard"
    reprocess.add_argument("action", nargs="?", default="run", choices=actions, metavar="ACTION", help=what)
    reprocess.add_argument("name", nargs="?", default="", metavar="ID", help="its id, or the beginning of it")
    reprocess.add_argument("--from", dest="start", default="", metavar="TIME", help="ISO 8601 or epoch milliseconds")
    reprocess.add_argument("--to", dest="end", default="", metavar="TIME", help="the same; not included")
    stages = ("clean", "rule_check", "ml_score")
    reprocess.add_argument("--stage", default="", choices=stages, help="the first stage that takes them again")
    reprocess.add_argument("--bundle", default="", metavar="VERSION", help="default: the one in force")
    reprocess.add_argument("--model", default="", metavar="VERSION", help="default: the one in force")
    lead_in = "how much before --from is replayed too, only so that the stages know the devices (default: 1d)"
    reprocess.add_argument("--lead-in", default="", metavar="DURATION", help=lead_in)
    reprocess.add_argument("--json", action="store_true", help="as JSON, for list and compare")
    add_settings(reprocess)
    return reprocess


def _check(parsed: argparse.Namespace) -> int:
    from watchkeeper_local.rules_command import check_rules

    return check_rules(parsed.folder)


def _test(settings: Settings, parsed: argparse.Namespace) -> int:
    from watchkeeper_local.rules_command import Asked, try_rules_on

    return try_rules_on(settings, Asked(parsed.file, parsed.on or [], parsed.last, parsed.device_class, parsed.png))


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
