"""A stack on Azure: names that the whole world must not have twice, and whose subscription it is in."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_azure_native as azure

from watchkeeper_infra.azure_config import AzureConfig
from watchkeeper_infra.site import CloudSite

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Site(CloudSite[AzureConfig]):
    """A stack on Azure; `deployer` is the object id of who runs Pulumi, `group` the name of the resource group."""

    subscription: str
    tenant: str
    deployer: str
    group: pulumi.Input[str] = ""

    @property
    def digest(self) -> str:
        """What tells this stack from all others of the world."""
        return hashlib.sha256(f"{self.subscription}/{self.stack}".encode()).hexdigest()[:8]

    def unique(self, what: str) -> str:
        """A name for what has an address: `wk-azure-dev-clean-1a2b3c4d`."""
        return f"wk-{self.stack}-{_hyphens(what)}-{self.digest}"

    def short(self, what: str) -> str:
        """As `unique`, for storage and vaults, which take 24 letters and digits: `wk1a2b3c4dclean`."""
        return f"wk{self.digest}{re.sub(r'[^a-z0-9]', '', what)}"[:24]

    def where(self, stage: str = "") -> Mapping[str, Any]:
        """The arguments of every resource that has a place and tags."""
        return {"resource_group_name": self.group, "location": self.region, "tags": self.tags(stage)}

    def lock(self, what: str, resource: pulumi.CustomResource) -> None:
        """Azure itself refuses to delete what holds data, whoever asks, while `protect` is set."""
        if self.config.protect:
            azure.authorization.ManagementLockByScope(
                self.name("lock", what),
                lock_name=self.name("keep", what),
                scope=resource.id,
                level="CanNotDelete",
                notes="It holds what Watchkeeper has stored; see docs/azure-infrastructure.md, Destroy a stack",
                opts=pulumi.ResourceOptions(parent=resource),
            )


def _hyphens(text: str) -> str:
    return text.replace("_", "-")
