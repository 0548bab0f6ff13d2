"""A stack on AWS, with the ARNs of what is in it."""

from __future__ import annotations

import dataclasses

import pulumi

from watchkeeper_infra.aws_config import AwsConfig
from watchkeeper_infra.site import CloudSite


@dataclasses.dataclass(frozen=True, slots=True)
class Site(CloudSite[AwsConfig]):
    """A stack on AWS; `account` is the account's number."""

    account: pulumi.Output[str]

    def arn(self, service: str, what: str) -> pulumi.Output[str]:
        """The ARN of something of this account and region."""
        return pulumi.Output.concat("arn:aws:", service, ":", self.region, ":", self.account, ":", what)
