"""Lake: an account with hierarchical folders for segments, states, models and bundles; no key opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_azure_native as azure

from watchkeeper_infra.azure.roles import blob_writer
from watchkeeper_infra.words import INBOX, OVERSIZED

if TYPE_CHECKING:
    from watchkeeper_infra.azure.network import Network
    from watchkeeper_infra.azure.site import Site

CONTAINER = "lake"
COOL_DAYS = 30
KEPT_DAYS = {INBOX: 30, OVERSIZED: 90}
"""Days after which what people had to look at is deleted. Segments, models and bundles stay for ever."""
RECOVERY_DAYS = 7  # of a container that was deleted


class Lake(pulumi.ComponentResource):
    """`account` and its `container`; `uri` is where blobs are, `writer` the role of who writes them.

    It keeps no older versions: segments are never changed, and states change with every batch, so that their versions
    would cost a multiple of what they protect.
    """

    def __init__(self, site: Site, network: Network) -> None:
        super().__init__("watchkeeper:azure:Lake", site.name("lake"))
        self.account = storage_account(
            site, "lake", site.keeping(self), public=network.public, redundancy=site.config.redundancy, folders=True
        )
        site.lock("lake", self.account)
        network.connect(site, "lake", "blob", self.account)
        inside = pulumi.ResourceOptions(parent=self.account)
        azure.storage.BlobServiceProperties(
            site.name("lake"),
            account_name=self.account.name,
            resource_group_name=site.group,
            blob_services_name="default",
            container_delete_retention_policy=azure.storage.DeleteRetentionPolicyArgs(enabled=True, days=RECOVERY_DAYS),
            delete_retention_policy=azure.storage.DeleteRetentionPolicyArgs(enabled=False),
            opts=inside,
        )
        self.container = azure.storage.BlobContainer(
            site.name("lake"),
            container_name=CONTAINER,
            account_name=self.account.name,
            resource_group_name=site.group,
            public_access=azure.storage.PublicAccess.NONE,
            opts=site.keeping(self),
        )
        azure.storage.ManagementPolicy(
            site.name("lake"),
            management_policy_name="default",
            account_name=self.account.name,
            resource_group_name=site.group,
            policy=azure.storage.ManagementPolicySchemaArgs(rules=[*_kept(), _cool()]),
            opts=inside,
        )
        self.writer = blob_writer(site, self)
        self.uri: pulumi.Output[str] = self.account.primary_endpoints.blob
        self.register_outputs({"uri": self.uri})


def storage_account(
    site: Site,
    name: str,
    options: pulumi.ResourceOptions,
    *,
    public: str = "Enabled",
    redundancy: str = "LRS",
    folders: bool = False,
    stage: str = "",
) -> azure.storage.StorageAccount:
    """An account that takes TLS 1.2 and identities only: no shared key, nothing public."""
    return azure.storage.StorageAccount(
        site.name(name),
        account_name=site.short(name),
        kind="StorageV2",
        sku=azure.storage.SkuArgs(name=f"Standard_{redundancy}"),
        access_tier=azure.storage.AccessTier.HOT,
        is_hns_enabled=folders,
        allow_shared_key_access=False,
        allow_blob_public_access=False,
        allow_cross_tenant_replication=False,
        default_to_o_auth_authentication=True,
        enable_https_traffic_only=True,
        is_local_user_enabled=False,
        minimum_tls_version="TLS1_2",
        public_network_access=public,
        network_rule_set=azure.storage.NetworkRuleSetArgs(
            bypass="AzureServices",
            default_action=azure.storage.DefaultAction.ALLOW
            if public == "Enabled"
            else azure.storage.DefaultAction.DENY,
        ),
        opts=options,
        **site.where(stage),
    )


def _kept() -> list[azure.storage.ManagementPolicyRuleArgs]:
    return [
        _rule(
            prefix,
            azure.storage.ManagementPolicyBaseBlobArgs(
                delete=azure.storage.DateAfterModificationArgs(days_after_modification_greater_than=days)
            ),
        )
        for prefix, days in KEPT_DAYS.items()
    ]


def _cool() -> azure.storage.ManagementPolicyRuleArgs:
    """Old segments move to where what is seldom read costs less; they are compressed by their own format."""
    after = azure.storage.DateAfterModificationArgs(days_after_modification_greater_than=COOL_DAYS)
    return _rule("segments/", azure.storage.ManagementPolicyBaseBlobArgs(tier_to_cool=after))


def _rule(prefix: str, actions: azure.storage.ManagementPolicyBaseBlobArgs) -> azure.storage.ManagementPolicyRuleArgs:
    return azure.storage.ManagementPolicyRuleArgs(
        name=prefix.strip("/"),
        enabled=True,
        type="Lifecycle",
        definition=azure.storage.ManagementPolicyDefinitionArgs(
            actions=azure.storage.ManagementPolicyActionArgs(base_blob=actions),
            filters=azure.storage.ManagementPolicyFilterArgs(
                blob_types=["blockBlob"], prefix_match=[f"{CONTAINER}/{prefix}"]
            ),
        ),
    )
