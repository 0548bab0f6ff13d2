"""The parts of docs/aws-infrastructure.md and docs/azure-infrastructure.md that are made from the code."""

import re
from typing import get_type_hints

import msgspec

from watchkeeper.cost.flows import Load
from watchkeeper_infra import aws_config, azure_config
from watchkeeper_infra.azure_roles import ROLES
from watchkeeper_infra.functions import FUNCTIONS, rate
from watchkeeper_infra.keys import allowed
from watchkeeper_infra.sizes import MEMORY_MB
from watchkeeper_infra.words import WILDCARDS
from watchkeeper_local.cost_command import estimate_for

COSTS_OF = (0, 100, 1_000, 10_000)


def aws_keys() -> str:
    return _keys(aws_config.AwsConfig, aws_config.HELP)


def azure_keys() -> str:
    return _keys(azure_config.AzureConfig, azure_config.HELP)


def _keys(config, about) -> str:
    rows = ["| key | default | allowed | what it is |", "|---|---|---|---|"]
    hints = get_type_hints(config, include_extras=True)
    for field in msgspec.structs.fields(config):
        default = "" if field.default in (msgspec.NODEFAULT, "", ()) else str(field.default)
        default = default.lower() if isinstance(field.default, bool) else default
        cells = [f"`{field.encode_name}`", f"`{default}`" if default else "", allowed(hints[field.name])]
        rows.append(f"| {' | '.join(cells)} | {about[field.name]} |")
    return "\n".join(rows)


def wildcards() -> str:
    rows = ["| statement | why its resource is `*` |", "|---|---|"]
    return "\n".join(rows + [f"| `{name}` | {why} |" for name, why in WILDCARDS.items()])


def aws_functions() -> str:
    rows = ["| function | takes | timer | layer | memory, MB | limit, s |", "|---|---|---|---|---|---|"]
    for name, function in FUNCTIONS.items():
        timer = f"`{rate(function.stage.timer)}`" if function.stage.timer else ""
        size = f"{function.memory_mb:,} | {function.timeout_s}"
        rows.append(f"| `{name}` | {_takes(function)} | {timer} | `{function.bundle}` | {size} |")
    return "\n".join(rows)


def azure_functions() -> str:
    rows = ["| app | takes | timer | package | memory, MB |", "|---|---|---|---|---|"]
    for name, function in FUNCTIONS.items():
        timer = f"every {function.stage.timer.seconds:g} s" if function.stage.timer else ""
        rows.append(
            f"| `{name}` | {_takes(function)} | {timer} | `{function.bundle}` | {MEMORY_MB[function.bundle]:,} |"
        )
    return "\n".join(rows)


def azure_roles() -> str:
    return "\n".join(["| role | its id |", "|---|---|", *(f"| {role} | `{ROLES[role]}` |" for role in sorted(ROLES))])


def _takes(function) -> str:
    return ", ".join([topic.name for topic in function.topics] or (["requests"] if function.bundle == "web" else []))


def aws_costs() -> str:
    return _costs("aws", "brokers", lambda e: f"{e.stack.kafka_brokers} × {e.stack.kafka_instance}")


def azure_costs() -> str:
    return _costs("azure", "IoT Hub, units", lambda e: re.search(r"IoT Hub (.*?),", e.size)[1])


def _costs(cloud, what, size) -> str:
    found = [estimate_for(cloud, Load(n, n)) for n in COSTS_OF]
    services = sorted({line.service for each in found for line in each.lines})
    costs = [{line.service: line for line in each.lines} for each in found]
    rows = [
        "| readings/s, and devices | " + " | ".join(f"{n:,}" for n in COSTS_OF) + " |",
        "|---|" + "---|" * len(COSTS_OF),
        f"| {what} | " + " | ".join(size(each) for each in found) + " |",
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
