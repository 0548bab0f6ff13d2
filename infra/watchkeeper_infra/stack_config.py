"""What can be set for a stack on any cloud: each key with its type, its default, and what it is."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Annotated

import msgspec

from watchkeeper_infra.functions import FUNCTIONS
from watchkeeper_infra.keys import LogLevel, text, whole, wrong
from watchkeeper_infra.words import MODEL, RECEIVERS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

MAIL = re.compile(r"[^@\s,]+@[^@\s,]+\.[^@\s,]+")
PRIVATE_NETWORK = text("a private IPv4 network of /16 to /20, such as 10.60.0.0/16", r"^[0-9.]+/(1[6-9]|20)$")


class StackConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The keys of `Pulumi.<stack>.yaml` that every cloud knows; each cloud adds its own."""

    cloud: str
    cost_centre: Annotated[str, text("1 to 64 letters, digits, spaces or ._-", r"^[A-Za-z0-9 ._-]{1,64}$")]
    protect: bool = True
    shards: Annotated[int, whole(1, 1024)] = 8
    log_level: LogLevel = "warning"
    alert_emails: dict[str, tuple[str, ...]] = {}
    receivers: tuple[str, ...] = ()
    webhook_secret: str = ""
    model_name: str = ""
    model_url: str = ""
    model_key: str = ""
    audience: str = ""
    shadow_hours: Annotated[int, whole(0, 168)] = 24
    dashboard_folder: str = "infra/status_page"
    budget: Annotated[float, msgspec.Meta(ge=0, le=1e7, description="US dollars a month, 0 for no budget")] = 0.0

    def kept_secrets(self) -> dict[str, dict[str, str]]:
        """What is kept as a secret, and under which name: who needs one must not see the other."""
        kept = {
            RECEIVERS: {"receivers": ",".join(self.receivers), "webhook_secret": self.webhook_secret},
            MODEL: {"model_key": self.model_key},
        }
        return {name: values for name, values in kept.items() if any(values.values())}


SECRETS = {"receivers", "webhook_secret", "model_key"}
"""They are set by `pulumi config set --secret`, and refused in plain text."""

HELP = {
    "cloud": "which cloud the stack is in",
    "cost_centre": "what the bill is filed under; a tag of everything",
    "protect": "refuse to delete what holds data, until this is set to false",
    "shards": "what devices are divided into; cannot be changed later. Each costs a state for each batch of each stage",
    "log_level": "what functions log",
    "alert_emails": "mail addresses by severity (info, warning, critical, emergency) and `operations`",
    "receivers": "further receivers of alerts, as the local runtime's; a secret",
    "webhook_secret": "what webhooks are signed with; a secret",
    "model_name": "the model's name there",
    "model_url": "base URL of an OpenAI-compatible service; nothing: OpenAI's",
    "model_key": "its key; a secret",
    "shadow_hours": "hours of data that must come after a detection model was learnt before it may be promoted",
    "audience": "audience of those tokens; with `issuer`",
    "dashboard_folder": "folder that is uploaded as the dashboard; it holds an index.html",
    "budget": "what a month may cost",
}


def contradictions(
    config: StackConfig, *, model: str, partitions: int, mailed: Collection[str], keyless: bool = False
) -> Iterator[str]:
    """What each key allows by itself, and the others do not, on any cloud.

    `mailed` is what mail addresses are for; `keyless`: the model's service needs no key.
    """
    if partitions > config.shards:
        yield wrong("partitions", partitions, f"at most the {config.shards} shards")
    for topic, addresses in config.alert_emails.items():
        if topic not in mailed:
            yield wrong("alertEmails", topic, f"by {', '.join(mailed)}")
        yield from (wrong("alertEmails", a, "mail addresses") for a in addresses if not MAIL.fullmatch(a))
    if model != "none" and not config.model_name:
        yield wrong("modelName", "", f"the name of a model of {model}")
    if model != "none" and not config.model_key and not keyless:
        yield "watchkeeper:modelKey: missing; the key of the model's service, as a secret"


def of_functions(key: str, given: Mapping[str, object]) -> Iterator[str]:
    """Names in a map that are no function's."""
    return (wrong(key, name, f"a function: {', '.join(FUNCTIONS)}") for name in given if name not in FUNCTIONS)


def not_private(cidr: str) -> Iterator[str]:
    """What is wrong with the addresses of a stack's own network."""
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        yield wrong("cidr", cidr, f"a private IPv4 network of /16 to /20 ({error})")
        return
    if not network.is_private:
        yield wrong("cidr", cidr, "a private network: within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16")
