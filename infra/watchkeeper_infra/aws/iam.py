"""IAM documents: statements with names, roles of one service each, and the few wildcards with their reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_aws as aws

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watchkeeper_infra.aws.site import Site

Statement = dict[str, Any]
VERSION = "2012-10-17"


def allow(sid: str, actions: Sequence[str], resources: Any, **condition: Any) -> Statement:  # noqa: ANN401 - outputs
    """A statement that allows. `condition` is by operator: `StringEquals={…}`."""
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resources} | _given(condition)


def deny(sid: str, actions: Sequence[str], resources: Any, **condition: Any) -> Statement:  # noqa: ANN401 - outputs
    """A statement that denies."""
    return {"Sid": sid, "Effect": "Deny", "Action": list(actions), "Resource": resources} | _given(condition)


def document(statements: Sequence[Statement]) -> pulumi.Output[str]:
    """The document of these statements, as JSON."""
    made: pulumi.Output[str] = pulumi.Output.json_dumps({"Version": VERSION, "Statement": list(statements)})
    return made


def trust(service: str, site: Site, **condition: Any) -> pulumi.Output[str]:  # noqa: ANN401 - outputs
    """Who may take a role: one service, and only on behalf of this account."""
    whose = {"StringEquals": {"aws:SourceAccount": site.account}}
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
        "Condition": whose | condition,
    }
    return document([statement])


def plain_trust(service: str) -> pulumi.Output[str]:
    """As `trust`, for services that do not say on whose behalf they come."""
    return document([{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}])


def role(
    site: Site,
    name: str,
    trusted: pulumi.Output[str],
    statements: Sequence[Statement],
    options: pulumi.ResourceOptions,
    stage: str = "",
) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
    """A role of its own with one policy, which has the same name."""
    made = aws.iam.Role(
        site.name(name), name=site.name(name), assume_role_policy=trusted, tags=site.tags(stage), opts=options
    )
    policy = aws.iam.RolePolicy(
        site.name(name), role=made.name, policy=document(statements), opts=pulumi.ResourceOptions(parent=made)
    )
    return made, policy


def tls_only(resources: Any, action: str) -> Statement:  # noqa: ANN401 - outputs
    """Nobody comes without TLS; for policies of resources."""
    return deny("TlsOnly", [action], resources, Bool={"aws:SecureTransport": "false"}) | {"Principal": "*"}


def _given(condition: Mapping[str, Any]) -> Statement:
    return {"Condition": dict(condition)} if condition else {}
