"""State: Cosmos DB with a container for each table, and a vault for secrets; keys open neither."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pulumi
import pulumi_azure_native as azure

from watchkeeper.topology import TABLES
from watchkeeper_infra.words import CONNECTIONS, LAYOUT_IN_VAULT, PARTITION_KEY, RUNTIME_TABLES, SORT_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watchkeeper_infra.azure.network import Network
    from watchkeeper_infra.azure.site import Site

DATABASE = "watchkeeper"
INDEXED = (f"/{PARTITION_KEY}/?", f"/{SORT_KEY}/?")
OWN_TABLES = tuple(name for name in RUNTIME_TABLES if name != CONNECTIONS)  # who listens Web PubSub itself knows
NEVER = -1  # rows live for ever unless they say otherwise
RECOVERY_DAYS = 90


class State(pulumi.ComponentResource):
    """`account` and its `tables` by name; `vault` and its `secrets` by name."""

    def __init__(self, site: Site, network: Network) -> None:
        super().__init__("watchkeeper:azure:State", site.name("state"))
        self._site = site
        self.account = self._account(network)
        site.lock("tables", self.account)
        network.connect(site, "tables", "Sql", self.account)
        self._database = self._make_database()
        self.tables: Mapping[str, azure.cosmosdb.SqlResourceSqlContainer] = {
            name: self._table(name) for name in (*TABLES, *OWN_TABLES)
        }
        self.vault = self._make_vault(network)
        site.lock("secrets", self.vault)
        network.connect(site, "secrets", "vault", self.vault)
        self.secrets: Mapping[str, azure.keyvault.Secret] = {
            name: self._secret(name, values) for name, values in site.config.kept_secrets().items()
        }
        self._layout()
        self.register_outputs({"endpoint": self.account.document_endpoint})

    def scope_of(self, table: str) -> pulumi.Output[str]:
        """What a right to one table is a right to; Cosmos DB has paths of its own."""
        made: pulumi.Output[str] = pulumi.Output.concat(self.account.id, f"/dbs/{DATABASE}/colls/", table)
        return made

    def _account(self, network: Network) -> azure.cosmosdb.DatabaseAccount:
        """Session consistency: who writes a row reads it back, and readers of other sessions are a moment behind."""
        site, config = self._site, self._site.config
        serverless = [azure.cosmosdb.CapabilityArgs(name="EnableServerless")]
        return azure.cosmosdb.DatabaseAccount(
            site.name("tables"),
            account_name=site.unique("tables"),
            kind="GlobalDocumentDB",
            database_account_offer_type=azure.cosmosdb.DatabaseAccountOfferType.STANDARD,
            locations=[azure.cosmosdb.LocationArgs(location_name=site.region, failover_priority=0)],
            capabilities=serverless if config.cosmos == "serverless" else [],
            consistency_policy=azure.cosmosdb.ConsistencyPolicyArgs(default_consistency_level="Session"),
            backup_policy=azure.cosmosdb.ContinuousModeBackupPolicyArgs(
                type="Continuous",
                continuous_mode_properties=azure.cosmosdb.ContinuousModePropertiesArgs(
                    tier=f"Continuous{config.backup_days}Days"
                ),
            ),
            disable_local_auth=True,
            disable_key_based_metadata_write_access=True,
            minimal_tls_version="Tls12",
            public_network_access=network.public,
            opts=site.keeping(self),
            **site.where(),
        )

    def _make_database(self) -> azure.cosmosdb.SqlResourceSqlDatabase:
        """By autoscale all tables share what is kept ready: most of them are seldom touched."""
        config = self._site.config
        options = azure.cosmosdb.CreateUpdateOptionsArgs(
            autoscale_settings=azure.cosmosdb.AutoscaleSettingsArgs(max_throughput=config.cosmos_units)
        )
        return azure.cosmosdb.SqlResourceSqlDatabase(
            self._site.name("tables"),
            database_name=DATABASE,
            account_name=self.account.name,
            resource=azure.cosmosdb.SqlDatabaseResourceArgs(id=DATABASE),
            options=options if config.cosmos == "autoscale" else None,
            opts=self._site.keeping(self),
            **self._site.where(),
        )

    def _table(self, name: str) -> azure.cosmosdb.SqlResourceSqlContainer:
        """Rows are found by their two keys only, so nothing else is indexed: a write costs half as much."""
        site = self._site
        return azure.cosmosdb.SqlResourceSqlContainer(
            site.name("table", name),
            container_name=name,
            account_name=self.account.name,
            database_name=self._database.name,
            resource=azure.cosmosdb.SqlContainerResourceArgs(
                id=name,
                partition_key=azure.cosmosdb.ContainerPartitionKeyArgs(
                    kind="Hash", paths=[f"/{PARTITION_KEY}"], version=2
                ),
                default_ttl=NEVER,
                indexing_policy=azure.cosmosdb.IndexingPolicyArgs(
                    indexing_mode="consistent",
                    automatic=True,
                    included_paths=[azure.cosmosdb.IncludedPathArgs(path=path) for path in INDEXED],
                    excluded_paths=[azure.cosmosdb.ExcludedPathArgs(path="/*")],
                ),
            ),
            opts=site.keeping(self),
            **site.where(_writers().get(name, "")),
        )

    def _make_vault(self, network: Network) -> azure.keyvault.Vault:
        site = self._site
        private = network.functions is not None
        return azure.keyvault.Vault(
            site.name("secrets"),
            vault_name=site.short("secrets"),
            properties=azure.keyvault.VaultPropertiesArgs(
                tenant_id=site.tenant,
                sku=azure.keyvault.SkuArgs(family="A", name=azure.keyvault.SkuName.STANDARD),
                enable_rbac_authorization=True,
                enable_soft_delete=True,
                enable_purge_protection=True,
                soft_delete_retention_in_days=RECOVERY_DAYS,
                public_network_access=network.public,
                network_acls=azure.keyvault.NetworkRuleSetArgs(
                    bypass="AzureServices", default_action="Deny" if private else "Allow"
                ),
            ),
            opts=site.keeping(self),
            **site.where(),
        )

    def _secret(self, name: str, values: Mapping[str, str]) -> azure.keyvault.Secret:
        hidden = pulumi.Output.secret({key: value for key, value in values.items() if value})
        return azure.keyvault.Secret(
            self._site.name("secret", name),
            secret_name=name,
            vault_name=self.vault.name,
            resource_group_name=self._site.group,
            properties=azure.keyvault.SecretPropertiesArgs(
                value=pulumi.Output.json_dumps(hidden), content_type="application/json"
            ),
            tags=self._site.tags(),
            opts=pulumi.ResourceOptions(parent=self.vault),
        )

    def _layout(self) -> None:
        """How devices are divided, written down once: `pulumi up` with other numbers fails, for this is protected.

        It lies in the vault, no secret at all: what else there is for documents Pulumi could reach by keys only.
        """
        config = self._site.config
        azure.keyvault.Secret(
            self._site.name("layout"),
            secret_name=LAYOUT_IN_VAULT,
            vault_name=self.vault.name,
            resource_group_name=self._site.group,
            properties=azure.keyvault.SecretPropertiesArgs(
                value=json.dumps({"shards": config.shards, "partitions": config.partitions}),
                content_type="application/json",
            ),
            tags=self._site.tags(),
            opts=self._site.unchangeable(self, "properties"),
        )


def _writers() -> dict[str, str]:
    from watchkeeper.pipeline import PIPELINE

    return {table.name: stage.name for stage in PIPELINE for table in stage.writes}
