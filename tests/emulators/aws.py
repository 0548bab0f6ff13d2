"""Clients and empty stores on the emulated AWS."""

import itertools

from watchkeeper_aws.provision import make_tables
from watchkeeper_aws.services import client

REGION = "eu-central-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example"}
_numbers = itertools.count()


def emulated(server, service):
    return client(service, region=REGION, endpoint=f"http://{server.address}")


def new_bucket(server):
    name = f"watchkeeper-{next(_numbers)}"
    emulated(server, "s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


def new_tables(server):
    """A prefix, under which there are empty tables."""
    prefix = f"t{next(_numbers)}-"
    make_tables(emulated(server, "dynamodb"), prefix)
    return prefix
