"""The parts of docs/aws-infrastructure.md that are made from the code."""

from typing import get_type_hints

import msgspec

from watchkeeper.cost.aws_estimate import estimate
from watchkeeper.cost.aws_flows import Load
from watchkeeper.cost.aws_prices import AWS
from watchkeeper.cost.aws_stack import stack_for
from watchkeeper.pipeline import PIPELINE
from watchkeeper_infra.aws_config import HELP, AwsConfig
from watchkeeper_infra.config import allowed
from watchkeeper_infra.functions import FUNCTIONS, rate
from watchkeeper_infra.words import WILDCARDS

COSTS_OF = (0, 100, 1_000, 10_000)


def stack_keys() -> str:
    rows = ["| key | default | allowed | what it is |", "|---|---|---|---|"]
    hints = get_type_hints(AwsConfig, include_extras=True)
    for field in msgspec.structs.fields(AwsConfig):
        default = "" if field.default in (msgspec.NODEFAULT, "", ()) else str(field.default)
        default = default.lower() if isinstance(field.default, bool) else default
        cells = [f"`{field.encode_name}`", f"`{default}`" if default else "", allowed(hints[field.name])]
        rows.append(f"| {' | '.join(cells)} | {HELP[field.name]} |")
    return "\n".join(rows)


def wildcards() -> str:
    rows = ["| statement | why its resource is `*` |", "|---|---|"]
    return "\n".join(rows + [f"| `{name}` | {why} |" for name, why in WILDCARDS.items()])


def function_table() -> str:
    rows = ["| function | takes | timer | layer | memory, MB | limit, s |", "|---|---|---|---|---|---|"]
    for name, function in FUNCTIONS.items():
        takes = [topic.name for topic in function.topics] or (["requests"] if function.bundle == "web" else [])
        timer = f"`{rate(function.stage.timer)}`" if function.stage.timer else ""
        size = f"{function.memory_mb:,} | {function.timeout_s}"
        rows.append(f"| `{name}` | {', '.join(takes)} | {timer} | `{function.bundle}` | {size} |")
    return "\n".join(rows)


def cost_table() -> str:
    found = [estimate(PIPELINE, Load(n, n), stack_for(n), AWS) for n in COSTS_OF]
    services = sorted({line.service for each in found for line in each.lines})
    costs = [{line.service: line for line in each.lines} for each in found]
    rows = [
        "| readings/s, and devices | " + " | ".join(f"{n:,}" for n in COSTS_OF) + " |",
        "|---|" + "---|" * len(COSTS_OF),
        "| brokers | " + " | ".join(f"{e.stack.kafka_brokers} × {e.stack.kafka_instance}" for e in found) + " |",
    ]
    for kind in ("standing", "per_use"):
        for service in services:
            amounts = [getattr(each[service], kind) for each in costs]
            if any(amounts):
                shown = " | ".join(f"{amount:,.0f}" for amount in amounts)
                rows.append(f"| {kind.replace('_', ' ')}: {service} | {shown} |")
        sums = " | ".join(f"**{getattr(each, kind):,.0f}**" for each in found)
        rows.append(f"| **{kind.replace('_', ' ')}** | {sums} |")
    rows.append("| **a month** | " + " | ".join(f"**{e.standing + e.per_use:,.0f}**" for e in found) + " |")
    per_million = [f"{e.per_million:.2f}" if e.per_million else "" for e in found]
    return "\n".join([*rows, "| per use, a million readings | " + " | ".join(per_million) + " |"])
