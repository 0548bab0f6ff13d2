"""State: the tables of the pipeline and of the runtime, secrets, and the key that encrypts all that is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from watchkeeper.topology import TABLES
from watchkeeper_infra.aws.iam import allow, document
from watchkeeper_infra.site import under
from watchkeeper_infra.words import EXPIRES, PARTITION_KEY, RUNTIME_TABLES, SORT_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watchkeeper_infra.aws.site import Site

RECOVERY_DAYS = 30


class State(pulumi.ComponentResource):
    """`tables` by the name in the pipeline's table, `secrets` by name, `key` is the customer's."""

    def __init__(self, site: Site) -> None:
        super().__init__("watchkeeper:aws:State", site.name("state"))
        self._site = site
        self.key = aws.kms.Key(
            site.name("data"),
            description="All that Watchkeeper stores",
            enable_key_rotation=True,
            deletion_window_in_days=RECOVERY_DAYS,
            policy=self._key_policy(),
            tags=site.tags(),
            opts=site.keeping(self),
        )
        aws.kms.Alias(site.name("data"), name=f"alias/{site.name('data')}", target_key_id=self.key.id, opts=under(self))
        writers = _writers()
        self.tables: Mapping[str, aws.dynamodb.Table] = {
            name: self._table(name, writers.get(name, "")) for name in (*TABLES, *RUNTIME_TABLES)
        }
        self.secrets: Mapping[str, aws.secretsmanager.Secret] = {
            name: self._secret(name, values) for name, values in site.config.kept_secrets().items()
        }
        self.register_outputs({"keyArn": self.key.arn})

    def _table(self, name: str, stage: str) -> aws.dynamodb.Table:
        site = self._site
        return aws.dynamodb.Table(
            site.name(name),
            name=site.name(name),
            billing_mode="PAY_PER_REQUEST",
            hash_key=PARTITION_KEY,
            range_key=SORT_KEY,
            attributes=[
                aws.dynamodb.TableAttributeArgs(name=PARTITION_KEY, type="S"),
                aws.dynamodb.TableAttributeArgs(name=SORT_KEY, type="S"),
            ],
            ttl=aws.dynamodb.TableTtlArgs(attribute_name=EXPIRES, enabled=True),
            point_in_time_recovery=aws.dynamodb.TablePointInTimeRecoveryArgs(enabled=True),
            server_side_encryption=aws.dynamodb.TableServerSideEncryptionArgs(enabled=True, kms_key_arn=self.key.arn),
            deletion_protection_enabled=site.config.protect,
            tags=site.tags(stage),
            opts=site.keeping(self),
        )

    def _secret(self, name: str, values: Mapping[str, str]) -> aws.secretsmanager.Secret:
        site = self._site
        secret = aws.secretsmanager.Secret(
            site.name(name),
            name_prefix=f"{site.name(name)}-",  # a name that was deleted cannot be used again for a month
            description=f"Watchkeeper: {', '.join(values)}",
            kms_key_id=self.key.arn,
            tags=site.tags(),
            opts=site.keeping(self),
        )
        hidden = pulumi.Output.secret({key: value for key, value in values.items() if value})
        aws.secretsmanager.SecretVersion(
            site.name(name),
            secret_id=secret.id,
            secret_string=pulumi.Output.json_dumps(hidden),
            opts=pulumi.ResourceOptions(parent=secret),
        )
        return secret

    def _key_policy(self) -> pulumi.Output[str]:
        """The account decides by IAM; its logs may be encrypted. In a key's policy `*` is the key itself."""
        site = self._site
        logs = {"kms:EncryptionContext:aws:logs:arn": site.arn("logs", "log-group:*")}
        owner = allow("Account", ["kms:*"], "*") | {
            "Principal": {"AWS": pulumi.Output.concat("arn:aws:iam::", site.account, ":root")}
        }
        actions = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"]
        for_logs = allow("Logs", actions, "*", ArnLike=logs) | {
            "Principal": {"Service": f"logs.{site.region}.amazonaws.com"}
        }
        return document([owner, for_logs])


def _writers() -> dict[str, str]:
    from watchkeeper.pipeline import PIPELINE

    return {table.name: stage.name for stage in PIPELINE for table in stage.writes}
