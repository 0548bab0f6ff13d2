"""The adapters of AWS over an emulator of its protocols are held to what the others are."""

import pytest

from tests.conformance.blobs_suite import BlobsSuite
from tests.conformance.meter_suite import MeterSuite
from tests.conformance.tables_suite import TablesSuite
from tests.emulators.aws import emulated, new_bucket, new_tables
from watchkeeper_aws.blobs import S3Blobs
from watchkeeper_aws.meter import DynamoMeter
from watchkeeper_aws.tables import DynamoTables


class TestDynamoTables(TablesSuite):
    @pytest.fixture
    def tables(self, aws):
        return DynamoTables(emulated(aws, "dynamodb"), new_tables(aws), {"devices": 3600.0})


class TestS3Blobs(BlobsSuite):
    LONG = 120

    @pytest.fixture
    def blobs(self, aws):
        s3 = emulated(aws, "s3")
        s3.meta.events.register("provide-client-params.s3.ListObjectsV2", lambda params, **_: params | {"MaxKeys": 50})
        return S3Blobs(s3, new_bucket(aws), "some/where/")


class TestDynamoMeter(MeterSuite):
    @pytest.fixture
    def meter(self, aws):
        return DynamoMeter(emulated(aws, "dynamodb"), new_tables(aws))
