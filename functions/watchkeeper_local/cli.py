"""The command line: `watchkeeper COMMAND`."""

from __future__ import annotations

import argparse
import difflib
import functools
import os
import re
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from watchkeeper import __version__
from watchkeeper.errors import ConfigError, WatchkeeperError
from watchkeeper_local import node
from watchkeeper_local.cost_flags import add_cost
from watchkeeper_local.knowledge_cli import add_bundle, add_reprocess, add_rules
from watchkeeper_local.models_cli import add_models
from watchkeeper_local.settings import HELP, LISTS, Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; answers the exit code: 0, 1 (it found something wrong), or 2 (it could not be done)."""
    parsed = _parser().parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
    except WatchkeeperError as error:
        print(f"watchkeeper: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def stop_on_signals() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set."""
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    return stop


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The flags of the settings. What is not given is None: the environment, the file or the default decides."""
    parser._add_container_actions(_settings())  # noqa: SLF001 - as `parents` does, which would list them before others


@functools.cache
def _settings() -> argparse.ArgumentParser:
    """The flags of the settings, made once for all commands that have them."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--config", default="", metavar="FILE", help="TOML file with settings, named as the flags with _"
    )
    for field in msgspec.structs.fields(Settings):
        default = ",".join(field.default) if field.name in LISTS else field.default
        text = f"{HELP[field.name]} (default: {default})" if default not in {"", 0.0} else HELP[field.name]
        flag = f"--{field.name.replace('_', '-')}"
        options: dict[str, Any] = {"metavar": "VALUE"}
        if field.type is bool:
            options = {"action": argparse.BooleanOptionalAction}
        elif field.name in LISTS:
            options["action"] = "append"
        parser.add_argument(flag, default=None, help=text, **options)
    return parser


def settings_of(parsed: argparse.Namespace) -> Settings:
    """The settings of a command that has their flags."""
    flags = {field.name: getattr(parsed, field.name) for field in msgspec.structs.fields(Settings)}
    return read_settings(flags, os.environ, parsed.config)


def _up(parsed: argparse.Namespace) -> int:
    settings = settings_of(parsed)
    if settings.kafka:
        raise ConfigError("up: runs on a stream of its own; `watchkeeper work` runs the stages against --kafka")
    node.set_up_logging(settings, "up")
    stop = stop_on_signals()
    from watchkeeper_local.up import Runtime

    with Runtime(settings) as runtime:
        mqtt = settings.mqtt_broker.rpartition("@")[2] or f"{settings.host}:{settings.mqtt_port}"
        print(f"Watchkeeper runs: HTTP at http://{settings.host}:{settings.http_port}, MQTT at {mqtt}.", flush=True)
        print(f"Data is kept in {settings.data_dir}. Ctrl-C stops it.", flush=True)
        runtime.watch(stop)
    print("Watchkeeper has stopped.")
    return 0


def _work(parsed: argparse.Namespace) -> int:
    settings = settings_of(parsed)
    if not settings.kafka:
        raise ConfigError("work: name the brokers with --kafka HOST:PORT; on one machine, `watchkeeper up` needs none")
    node.set_up_logging(settings, "work")
    stop = stop_on_signals()
    from watchkeeper_local.kafka_work import run_workers

    print(
        f"Watchkeeper works on Kafka at {settings.kafka}, in {settings.workers} processes. Ctrl-C stops it.", flush=True
    )
    run_workers(settings, stop)
    print("Watchkeeper has stopped.")
    return 0


def _demo(parsed: argparse.Namespace) -> int:
    from watchkeeper_local.demo.run import demo

    return demo(parsed.seconds, parsed.pumps, parsed.seed)


def _replay(parsed: argparse.Namespace) -> int:
    from watchkeeper_local.replay import replay

    return replay(parsed.files, parsed.to, parsed.speed, parsed.api_key or os.environ.get("WATCHKEEPER_API_KEY"))


def _status(parsed: argparse.Namespace) -> int:
    from watchkeeper_local.status import show_status

    return show_status(parsed.url, parsed.api_key or os.environ.get("WATCHKEEPER_API_KEY"), as_json=parsed.json)


def _pipeline(parsed: argparse.Namespace) -> int:
    from watchkeeper.describe import as_mermaid, as_text
    from watchkeeper.pipeline import PIPELINE

    print(as_mermaid(PIPELINE) if parsed.mermaid else as_text(PIPELINE))
    return 0


def _backtest(parsed: argparse.Namespace) -> int:
    from watchkeeper_local.backtest import backtest

    return backtest(parsed.paths, parsed.out, plots=parsed.plots)


def _devices(parsed: argparse.Namespace) -> int:
    from watchkeeper_local.devices import show_device, show_devices

    key = parsed.api_key or os.environ.get("WATCHKEEPER_API_KEY")
    if parsed.device:
        return show_device(parsed.url, key, parsed.device, as_json=parsed.json)
    return show_devices(parsed.url, key, as_json=parsed.json)


def _dead_letters(parsed: argparse.Namespace) -> int:
    from watchkeeper_local.dead_letters import manage_letters

    settings = settings_of(parsed)
    return manage_letters(settings, parsed.action, parsed.ids, everything=parsed.all, as_json=parsed.json)


def _reprocess(parsed: argparse.Namespace) -> int:
    from watchkeeper_local.reprocess_command import Wanted, reprocess

    wanted = Wanted(parsed.start, parsed.end, parsed.stage, parsed.bundle, parsed.model, parsed.lead_in)
    return reprocess(settings_of(parsed), parsed.action, parsed.name, wanted, as_json=parsed.json)


def _cost(parsed: argparse.Namespace) -> int:
    from watchkeeper.cost.flows import Load
    from watchkeeper_local.cost_command import show_cost

    load = Load(parsed.readings_per_second, parsed.devices)
    return show_cost(parsed.cloud, load, parsed.readings_per_message, as_json=parsed.json)


def _doctor(parsed: argparse.Namespace) -> int:
    from watchkeeper_local.doctor import examine

    key = parsed.api_key or os.environ.get("WATCHKEEPER_API_KEY")
    return examine(lambda: settings_of(parsed), parsed.data_dir or "", key)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="watchkeeper", description="Watches fleets of devices and services.")
    parser.add_argument("--version", action="version", version=f"watchkeeper {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    up = commands.add_parser("up", help="run everything on this machine")
    add_settings(up)
    up.set_defaults(run=_up)

    work = commands.add_parser("work", help="run the stages against a Kafka cluster, as a member of a consumer group")
    add_settings(work)
    work.set_defaults(run=_work)

    demo = commands.add_parser(
        "demo", help="run everything for a while, with a simulated fleet and this very machine as devices"
    )
    demo.add_argument("--seconds", type=_positive, default=60, help="how long the live part lasts (default: 60)")
    demo.add_argument("--pumps", type=_positive, default=12, help="how many pumps (default: 12)")
    demo.add_argument("--seed", type=int, default=7, help="what the simulation's chances come from (default: 7)")
    demo.set_defaults(run=_demo)

    replay = commands.add_parser("replay", help="send CSV files as devices")
    replay.add_argument(
        "files", nargs="+", metavar="FILE", help="CSV with a time column; other numeric columns are metrics"
    )
    replay.add_argument(
        "--to", default="http://127.0.0.1:8080", help="mqtt://… or http://… (default: http://127.0.0.1:8080)"
    )
    replay.add_argument("--speed", default="max", help="times real time, or max (default: max)")
    _add_key(replay)
    replay.set_defaults(run=_replay)

    status = commands.add_parser("status", help="what a running Watchkeeper has taken, found and spent")
    _add_asking(status)
    status.set_defaults(run=_status)

    _add_devices(commands).set_defaults(run=_devices)

    letters = commands.add_parser("dead-letters", help="look at, redrive or discard what no stage could take")
    letters.add_argument("action", choices=("list", "show", "redrive", "discard"))
    letters.add_argument("ids", nargs="*", metavar="ID", help="letters, by their ids or the beginnings of them")
    letters.add_argument("--all", action="store_true", help="all open ones, for redrive and discard")
    letters.add_argument("--json", action="store_true", help="as JSON, for list and show")
    add_settings(letters)
    letters.set_defaults(run=_dead_letters)

    doctor = commands.add_parser("doctor", help="what is wrong with this machine, the data folder and what runs")
    add_settings(doctor)
    _add_key(doctor)
    doctor.set_defaults(run=_doctor)

    pipeline = commands.add_parser("pipeline", help="the table of stages, topics and tables")
    pipeline.add_argument("--mermaid", action="store_true", help="as a picture in Mermaid")
    pipeline.set_defaults(run=_pipeline)

    add_cost(commands).set_defaults(run=_cost)

    add_models(commands, add_settings, settings_of)
    _add_backtest(commands).set_defaults(run=_backtest)
    add_reprocess(commands, add_settings).set_defaults(run=_reprocess)
    add_rules(commands, add_settings, settings_of)
    add_bundle(commands, add_settings, settings_of)
    return parser


def _add_devices(commands: argparse._SubParsersAction[Parser]) -> Parser:
    devices = commands.add_parser("devices", help="which devices a running Watchkeeper knows, and who is silent")
    devices.add_argument("device", nargs="?", default="", help="how the model is set for this one")
    _add_asking(devices)
    return devices


def _add_backtest(commands: argparse._SubParsersAction[Parser]) -> Parser:
    tried = commands.add_parser("backtest", help="what the detector would have said about CSV files")
    tried.add_argument(
        "paths", nargs="+", metavar="PATH", help="a CSV file with a time and metrics, or a folder of them"
    )
    tried.add_argument("--out", required=True, metavar="DIR", help="where the verdicts are written, a file for each")
    tried.add_argument("--plots", action="store_true", help="also a picture (PNG) of each")
    return tried


def _add_asking(parser: argparse.ArgumentParser) -> None:
    where = "http://127.0.0.1:8080"
    parser.add_argument("--url", default=where, help=f"where its API is (default: {where})")
    parser.add_argument("--json", action="store_true", help="as JSON")
    _add_key(parser)


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--api-key", default=None, help="key of the API; or in WATCHKEEPER_API_KEY")


class Parser(argparse.ArgumentParser):
    """Says what was probably meant by a command or flag that is not known; takes no flag that is cut short."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        """See argparse."""
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """See argparse."""
        wrong = re.search(r"unrecognized arguments: (-[^ =]+)|invalid choice: '([^']*)'", message)
        known = [*self._option_string_actions, *self._commands()]
        near = difflib.get_close_matches(wrong.group(1) or wrong.group(2), known, 1) if wrong else []
        super().error(f"{message}; did you mean {near[0]}?" if near else message)

    def parse_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """See argparse; what a command does not know is that command's error, with its flags to suggest from."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if hasattr(parsed, "ids"):  # those behind a flag, which argparse gives back if there are none before it
            parsed.ids += [text for text in unknown if not text.startswith("-")]
            unknown = [text for text in unknown if text.startswith("-")]
        if unknown:
            command = self._commands().get(parsed.command, self)
            action = command._commands().get(getattr(parsed, "action", ""), command)  # noqa: SLF001 - of its own class
            action.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed

    def _commands(self) -> dict[str, Parser]:
        actions = self._subparsers._group_actions if self._subparsers else []  # noqa: SLF001 - argparse has no other way
        return dict(actions[0].choices) if actions and actions[0].choices else {}


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        message = f"{text} is not a positive number"
        raise argparse.ArgumentTypeError(message)
    return number


_positive.__name__ = "positive number"  # what argparse calls it in its message


if __name__ == "__main__":
    sys.exit(main())
