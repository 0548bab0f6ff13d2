"""The program: configuration first, then the resources of the cloud that it names."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pulumi

from watchkeeper_infra.aws_config import AwsConfig
from watchkeeper_infra.azure_config import AzureConfig
from watchkeeper_infra.config import Given, read_config
from watchkeeper_infra.errors import StackConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from watchkeeper_infra.stack_config import StackConfig


def build(root: Path) -> None:
    """Build the stack; `root` is the checkout. RunError: what is wrong with its configuration, a line for each key."""
    values = json.loads(os.environ.get("PULUMI_CONFIG", "{}"))
    secret = json.loads(os.environ.get("PULUMI_CONFIG_SECRET_KEYS", "[]"))
    try:
        _build(read_config(Given(pulumi.get_stack(), values, frozenset(secret))), root)
    except StackConfigError as error:
        message = f"the stack's configuration is wrong:\n{error}"
        raise pulumi.RunError(message) from error


def _build(config: StackConfig, root: Path) -> None:
    """Only the named cloud's SDK is loaded: each takes a second."""
    if isinstance(config, AwsConfig):
        from watchkeeper_infra.aws.stack import build_stack as build_on_aws

        build_on_aws(config, root)
    elif isinstance(config, AzureConfig):
        from watchkeeper_infra.azure.stack import build_stack as build_on_azure

        build_on_azure(config, root)
