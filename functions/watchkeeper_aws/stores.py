"""Tables, blobs and meter in DynamoDB and S3, or what speaks their protocols, for workers that run elsewhere."""

from __future__ import annotations

import os

from watchkeeper.errors import ConfigError
from watchkeeper.ports import Blobs, Meter, Tables
from watchkeeper_aws.blobs import S3Blobs
from watchkeeper_aws.meter import DynamoMeter
from watchkeeper_aws.services import client
from watchkeeper_aws.tables import DynamoTables


def open_stores(what: str) -> tuple[Tables, Blobs, Meter]:
    """The stores that `BUCKET` or `BUCKET/TABLE-PREFIX` names. ConfigError: it names none, or no region is known.

    Region, credentials and addresses are AWS's own settings: AWS_REGION, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL_S3 and
    so on.
    """
    bucket, _, prefix = what.partition("/")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    if not bucket:
        raise ConfigError("stores aws: write aws:BUCKET or aws:BUCKET/TABLE-PREFIX")
    if not region:
        raise ConfigError("stores aws: set AWS_REGION")
    s3 = client("s3", region=region, endpoint=_endpoint("S3"))
    dynamodb = client("dynamodb", region=region, endpoint=_endpoint("DYNAMODB"))
    return DynamoTables(dynamodb, prefix), S3Blobs(s3, bucket), DynamoMeter(dynamodb, prefix)


def _endpoint(service: str) -> str:
    return os.environ.get(f"AWS_ENDPOINT_URL_{service}") or os.environ.get("AWS_ENDPOINT_URL") or ""
