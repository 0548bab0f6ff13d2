"""Lake: one bucket for segments, states, models and bundles, and one for the functions' code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from watchkeeper_infra.aws.iam import document, tls_only
from watchkeeper_infra.site import under
from watchkeeper_infra.words import GIVEN_UP, INBOX, LAYOUT, OVERSIZED, RULE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper_infra.aws.site import Site
    from watchkeeper_infra.bundles import BuiltBundle

WARM_DAYS = 30
KEPT_DAYS = {INBOX: 30, RULE_ERRORS: 30, OVERSIZED: 90, GIVEN_UP: 90}
"""Days after which what people had to look at is deleted. Segments, models and bundles stay for ever."""


class Lake(pulumi.ComponentResource):
    """`bucket` holds the data, `code` the functions' bundles.

    The bucket keeps no older versions: segments are never changed, and states change with every batch, so that their
    versions would cost a multiple of what they protect.
    """

    def __init__(self, site: Site, key: aws.kms.Key) -> None:
        super().__init__("watchkeeper:aws:Lake", site.name("lake"))
        self._site, self._key = site, key
        self.bucket = self._bucket("lake")
        self.code = self._bucket("code")
        self._lifecycle(self.bucket, "lake", [*self._kept(), self._warm()])
        self._lifecycle(self.code, "code", [])
        self._layout()
        self.register_outputs({"bucket": self.bucket.bucket})

    def upload(self, name: str, bundle: BuiltBundle) -> aws.s3.BucketObject:
        """A bundle under its digest, so that another one is another object, and rolling back finds the old one."""
        return aws.s3.BucketObject(
            self._site.name("bundle", name),
            bucket=self.code.bucket,
            key=f"{name}-{bundle.hexdigest}.zip",
            source=pulumi.FileAsset(str(bundle.path)),
            source_hash=bundle.hexdigest,
            tags=self._site.tags(),
            opts=under(self, retain_on_delete=True),
        )

    def _layout(self) -> None:
        """How devices are divided, written down once: `pulumi up` with other numbers fails, for this is protected."""
        config = self._site.config
        aws.s3.BucketObject(
            self._site.name("layout"),
            bucket=self.bucket.bucket,
            key=LAYOUT,
            content=json.dumps({"shards": config.shards, "partitions": config.partitions}),
            content_type="application/json",
            tags=self._site.tags(),
            opts=self._site.unchangeable(self, "content"),
        )

    def _bucket(self, name: str) -> aws.s3.Bucket:
        site = self._site
        bucket = aws.s3.Bucket(site.name(name), tags=site.tags(), opts=site.keeping(self))
        inside = pulumi.ResourceOptions(parent=bucket)
        aws.s3.BucketPublicAccessBlock(
            site.name(name),
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=inside,
        )
        aws.s3.BucketOwnershipControls(
            site.name(name),
            bucket=bucket.bucket,
            rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=inside,
        )
        by_default = aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
            sse_algorithm="aws:kms", kms_master_key_id=self._key.arn
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            site.name(name),
            bucket=bucket.bucket,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=by_default,
                    bucket_key_enabled=True,  # or each object would cost a call to the key
                )
            ],
            opts=inside,
        )
        everything = [bucket.arn, pulumi.Output.concat(bucket.arn, "/*")]
        aws.s3.BucketPolicy(
            site.name(name), bucket=bucket.bucket, policy=document([tls_only(everything, "s3:*")]), opts=inside
        )
        return bucket

    def _lifecycle(
        self, bucket: aws.s3.Bucket, name: str, rules: Sequence[aws.s3.BucketLifecycleConfigurationRuleArgs]
    ) -> None:
        unfinished = aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(days_after_initiation=1)
        aws.s3.BucketLifecycleConfiguration(
            self._site.name(name),
            bucket=bucket.bucket,
            rules=[
                aws.s3.BucketLifecycleConfigurationRuleArgs(
                    id="unfinished-uploads",
                    status="Enabled",
                    filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    abort_incomplete_multipart_upload=unfinished,
                ),
                *rules,
            ],
            opts=pulumi.ResourceOptions(parent=bucket),
        )

    def _kept(self) -> list[aws.s3.BucketLifecycleConfigurationRuleArgs]:
        return [
            aws.s3.BucketLifecycleConfigurationRuleArgs(
                id=prefix.strip("/").replace("/", "-"),
                status="Enabled",
                filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=prefix),
                expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=days),
            )
            for prefix, days in KEPT_DAYS.items()
        ]

    def _warm(self) -> aws.s3.BucketLifecycleConfigurationRuleArgs:
        """Old segments move to where what is seldom read costs less; they are compressed by their own format."""
        return aws.s3.BucketLifecycleConfigurationRuleArgs(
            id="segments",
            status="Enabled",
            filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix="segments/"),
            transitions=[
                aws.s3.BucketLifecycleConfigurationRuleTransitionArgs(
                    days=WARM_DAYS, storage_class="INTELLIGENT_TIERING"
                )
            ],
        )
