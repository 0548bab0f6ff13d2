"""Who may do what: assignments of built-in roles, with ids that stay the same."""

from __future__ import annotations

import dataclasses
import uuid
from typing import TYPE_CHECKING

import pulumi
import pulumi_azure_native as azure

from watchkeeper_infra.azure_roles import BLOBS, ON_BLOBS, ROLES, only_below

if TYPE_CHECKING:
    from watchkeeper_infra.azure.site import Site

CONDITION = "2.0"  # the version of the language of conditions


@dataclasses.dataclass(frozen=True)
class Grant:
    """One right: a role on one resource; `paths`: only on blobs whose path begins so; `own`: the id of our own role."""

    name: str
    role: str
    scope: pulumi.Input[str]
    paths: tuple[str, ...] = ()
    own: pulumi.Input[str] | None = None


def assign(
    site: Site, who: str, principal: pulumi.Input[str], grant: Grant, parent: pulumi.Resource, *, person: bool = False
) -> azure.authorization.RoleAssignment:
    """Give a right. Its id is made from the names, so that it stays the same; `person`: it may be one, too."""
    return azure.authorization.RoleAssignment(
        site.name(who, grant.name),
        role_assignment_name=stable_id(site, who, grant.name),
        principal_id=principal,
        principal_type=None if person else "ServicePrincipal",
        role_definition_id=definition(site, grant.role) if grant.own is None else grant.own,
        scope=grant.scope,
        condition=only_below(grant.paths) if grant.paths else None,
        condition_version=CONDITION if grant.paths else None,
        description=f"Watchkeeper, {who}: {grant.name}",
        opts=pulumi.ResourceOptions(parent=parent),
    )


def definition(site: Site, role: str) -> str:
    """The id of a built-in role in the subscription."""
    return _in_subscription(site, ROLES[role])


def blob_writer(site: Site, parent: pulumi.Resource) -> pulumi.Output[str]:
    """A role of our own, and its id: to read, write and delete blobs, and nothing to containers."""
    identity = stable_id(site, "blob-writer")
    group = pulumi.Output.concat("/subscriptions/", site.subscription, "/resourceGroups/", site.group)
    made = azure.authorization.RoleDefinition(
        site.name("blob-writer"),
        role_definition_id=identity,
        role_name=f"{site.name()} blob writer",
        role_type="CustomRole",
        description="Reads, writes and deletes blobs, and nothing to containers",
        scope=group,
        assignable_scopes=[group],
        permissions=[
            azure.authorization.PermissionArgs(actions=[], data_actions=[f"{BLOBS}/{action}" for action in ON_BLOBS])
        ],
        opts=pulumi.ResourceOptions(parent=parent),
    )
    usable: pulumi.Output[str] = made.id.apply(lambda _: _in_subscription(site, identity))
    return usable


def _in_subscription(site: Site, role: str) -> str:
    return f"/subscriptions/{site.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"


def stable_id(site: Site, *parts: str) -> str:
    """A GUID that is the same each time."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(("watchkeeper", site.subscription, site.stack, *parts))))
