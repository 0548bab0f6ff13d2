"""The flags of `watchkeeper cost`."""

from __future__ import annotations

import argparse
from typing import Any


def add_cost(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The command and its flags."""
    cost: argparse.ArgumentParser = commands.add_parser("cost", help="what a month in a cloud would cost")
    cost.add_argument("cloud", choices=("aws", "azure"))
    cost.add_argument(
        "--readings-per-second", type=_amount, default=0.0, metavar="N", help="of all devices (default: 0)"
    )
    cost.add_argument("--devices", type=_count, default=0, metavar="M", help="that are connected (default: 0)")
    cost.add_argument(
        "--readings-per-message",
        type=_positive,
        default=1.0,
        metavar="K",
        help="that a device sends at once (default: 1)",
    )
    cost.add_argument("--json", action="store_true", help="as JSON")
    return cost


def _amount(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1e9:
        message = f"{text} is not a number from 0 to a thousand million"
        raise argparse.ArgumentTypeError(message)
    return number


def _positive(text: str) -> float:
    number = _amount(text)
    if number < 1:
        message = f"{text} is less than one"
        raise argparse.ArgumentTypeError(message)
    return number


def _count(text: str) -> int:
    return int(_amount(text))


_amount.__name__ = _positive.__name__ = _count.__name__ = "number"  # what argparse calls them in its messages
