"""Clients and empty stores on the emulated AWS."""

import itertools

from watchkeeper_aws.provision import make_tables
from watchkeeper_aws.services import client

REGION = "eu-central-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example"}
_numbers = itertools.count()


def emulated(server, service):
    """A client of a service; `server` has an address."""
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


def new_alert_queue(server, topic, filter_policy=None):
    """A topic of SNS with a queue of SQS that hears it: the topic's ARN, and who answers what is in the queue."""
    sns, sqs = emulated(server, "sns"), emulated(server, "sqs")
    name = f"{topic}-{next(_numbers)}"
    arn = sns.create_topic(Name=name)["TopicArn"]
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    more = {"FilterPolicy": filter_policy} if filter_policy else {}
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue, Attributes=more)

    def heard():
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        return [message["Body"] for message in answer.get("Messages", [])]

    return arn, heard
