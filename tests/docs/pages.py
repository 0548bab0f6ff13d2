"""The pages as tests see them: their fenced blocks, and the parts of them that are made from the code."""

import dataclasses
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks import tables
from tests.docs import cloud_parts
from watchkeeper.describe import as_mermaid
from watchkeeper.memory import memory_ports
from watchkeeper.pipeline import PIPELINE
from watchkeeper.published import Published
from watchkeeper_api import Backend, create_app
from watchkeeper_local.knowledge import read_bundle
from watchkeeper_local.settings import HELP, LISTS, PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of its page that it begins on."""

    language: str
    text: str
    page: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(name: str, *languages: str) -> list[Block]:
    """The fenced blocks of a page in these languages (all of them where none is named)."""
    text = page(name)
    found = (
        Block(match[2], textwrap.dedent(match[3]), name, text.count("\n", 0, match.start()) + 2)
        for match in FENCE.finditer(text)
    )
    return [block for block in found if not languages or block.language in languages]


def openapi():
    """The OpenAPI document, from the application itself."""
    ports = memory_ports()
    return create_app(Backend(ports, Published(ports, read_bundle()), 16, lambda: 0)).openapi()


def picture() -> str:
    return f"```mermaid\n{as_mermaid(PIPELINE)}\n```"


def settings_table() -> str:
    rows = ["| setting | flag | environment | default | what it is |", "|---|---|---|---|---|"]
    for field in msgspec.structs.fields(Settings):
        default = ", ".join(field.default) if field.name in LISTS else str(field.default)
        names = f"`{field.name}` | `--{field.name.replace('_', '-')}` | `{PREFIX}{field.name.upper()}`"
        rows.append(f"| {names} | {f'`{default}`' if default else ''} | {HELP[field.name]} |")
    return "\n".join(rows)


def endpoint_table() -> str:
    rows = ["| request | what it does | parameters | answers |", "|---|---|---|---|"]
    for path, item in openapi()["paths"].items():
        for method, operation in item.items():
            parameters = [p for p in operation.get("parameters", []) if p["in"] == "query"]
            shown = ", ".join(f"`{p['name']}`" + ("" if p.get("required") else "?") for p in parameters)
            answers = ", ".join(sorted(operation["responses"]))
            about = operation["description"].splitlines()[0]
            rows.append(f"| `{method.upper()} {path}` | {about} | {shown} | {answers} |")
    return "\n".join(rows)


MADE: dict[tuple[str, str], Callable[[], str]] = {
    ("README.md", "the pipeline"): picture,
    ("docs/configuration.md", "the settings"): settings_table,
    ("docs/api.md", "the endpoints"): endpoint_table,
    **{("docs/performance.md", part): make for part, make in tables.PARTS.items()},
    ("docs/aws-infrastructure.md", "the keys"): cloud_parts.aws_keys,
    ("docs/aws-infrastructure.md", "the functions"): cloud_parts.aws_functions,
    ("docs/aws-infrastructure.md", "the wildcards"): cloud_parts.wildcards,
    ("docs/aws-infrastructure.md", "the costs"): cloud_parts.aws_costs,
    ("docs/azure-infrastructure.md", "the keys"): cloud_parts.azure_keys,
    ("docs/azure-infrastructure.md", "the apps"): cloud_parts.azure_functions,
    ("docs/azure-infrastructure.md", "the roles"): cloud_parts.azure_roles,
    ("docs/azure-infrastructure.md", "the costs"): cloud_parts.azure_costs,
}
"""By page and name: what is made from the code. On the page it stands between two comments with that name."""


def made_part(text: str, name: str) -> re.Match[str]:
    """Where on a page a made part stands."""
    found = re.search(rf"(<!-- begin {name} -->\n)(.*?)(<!-- end {name} -->)", text, re.DOTALL)
    assert found, f"no part named {name!r}"
    return found


def write_made_parts() -> None:
    for (name, part), make in MADE.items():
        text = page(name)
        found = made_part(text, part)
        (ROOT / name).write_text(text[: found.start(2)] + make() + "\n" + text[found.end(2) :], "utf-8")


if __name__ == "__main__":
    write_made_parts()
