"""The tables that the adapters expect, as a list from the pipeline; what makes them is `infra/`, or a test."""

from __future__ import annotations

from typing import Any

from watchkeeper.dead_letters import TAKEN
from watchkeeper.topology import TABLES
from watchkeeper_aws.meter import TABLE as METER
from watchkeeper_aws.names import API_KEYS, CONNECTIONS
from watchkeeper_aws.tables import EXPIRES, PARTITION, SORT


def table_names() -> tuple[str, ...]:
    """All tables, without their prefix."""
    return (*TABLES, TAKEN.name, METER, CONNECTIONS, API_KEYS)


def make_tables(dynamodb: Any, prefix: str = "") -> None:  # noqa: ANN401 - boto3 has no types
    """Make them, on demand, each with its time to live."""
    for name in table_names():
        dynamodb.create_table(
            TableName=prefix + name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in (PARTITION, SORT)],
            KeySchema=[
                {"AttributeName": PARTITION, "KeyType": "HASH"},
                {"AttributeName": SORT, "KeyType": "RANGE"},
            ],
        )
        dynamodb.update_time_to_live(
            TableName=prefix + name, TimeToLiveSpecification={"Enabled": True, "AttributeName": EXPIRES}
        )
