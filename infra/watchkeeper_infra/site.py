"""What every component of a stack knows on any cloud: its configuration, its names, and the tags of what it makes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pulumi

from watchkeeper_infra.stack_config import StackConfig

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = "watchkeeper"
Config = TypeVar("Config", bound=StackConfig)


@dataclasses.dataclass(frozen=True, slots=True)
class CloudSite(Generic[Config]):
    """A stack: where it is and what it is to be like. `root` is the checkout."""

    config: Config
    stack: str
    region: str
    root: Path

    def name(self, *parts: str) -> str:
        """A name that no other stack has: `watchkeeper-aws-dev-clean`."""
        return "-".join((PROJECT, self.stack, *parts))

    def tags(self, stage: str = "") -> dict[str, str]:
        """The tags of a resource; `stage` is empty for what serves several."""
        return {
            "project": PROJECT,
            "stack": self.stack,
            "stage": stage or "all",
            "cost-centre": self.config.cost_centre,
        }

    def unchangeable(self, parent: pulumi.Resource, *properties: str) -> pulumi.ResourceOptions:
        """For what must stay as it was made: another value of these would replace it, and protection forbids that."""
        return pulumi.ResourceOptions(
            parent=parent, protect=self.config.protect, replace_on_changes=list(properties), delete_before_replace=True
        )

    def keeping(self, parent: pulumi.Resource, **more: Any) -> pulumi.ResourceOptions:  # noqa: ANN401 - Pulumi's own
        """For what holds data: it is not deleted while `protect` is set."""
        return pulumi.ResourceOptions(parent=parent, protect=self.config.protect, **more)


def under(parent: pulumi.Resource, **more: Any) -> pulumi.ResourceOptions:  # noqa: ANN401 - Pulumi's own options
    """For what can be made again at any time."""
    return pulumi.ResourceOptions(parent=parent, **more)
