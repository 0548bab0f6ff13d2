"""What every component of a stack knows: its configuration, its names, and the tags of all that it makes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pulumi

if TYPE_CHECKING:
    from pathlib import Path

    from watchkeeper_infra.aws_config import AwsConfig

PROJECT = "watchkeeper"


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """A stack on AWS: where it is and what it is to be like. `root` is the checkout, `account` the account's number."""

    config: AwsConfig
    stack: str
    region: str
    account: pulumi.Output[str]
    root: Path

    def name(self, *parts: str) -> str:
        """A name that no other stack of the account has: `watchkeeper-aws-dev-clean`."""
        return "-".join((PROJECT, self.stack, *parts))

    def tags(self, stage: str = "") -> dict[str, str]:
        """The tags of a resource; `stage` is empty for what serves several."""
        return {
            "project": PROJECT,
            "stack": self.stack,
            "stage": stage or "all",
            "cost-centre": self.config.cost_centre,
        }

    def arn(self, service: str, what: str) -> pulumi.Output[str]:
        """The ARN of something of this account and region."""
        return pulumi.Output.concat("arn:aws:", service, ":", self.region, ":", self.account, ":", what)

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
