"""The meter in DynamoDB: an item per day and stage, a number per name, added to where it lies.

An addition whose answer was lost is tried again by boto3 and may count twice; a meter may, and says so at its port.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from watchkeeper_aws.services import waiting_for
from watchkeeper_aws.tables import PARTITION, SORT

AMOUNT = "n."  # before the names of amounts, so that none of them is a key
TABLE = "meter"
DIGITS = Decimal("1e-9")


class DynamoMeter:
    """Amounts by day (UTC), stage and name."""

    def __init__(self, dynamodb: Any, prefix: str = "") -> None:  # noqa: ANN401 - boto3 has no types
        self._dynamodb, self._table = dynamodb, prefix + TABLE

    def add(self, day: str, stage: str, amounts: Mapping[str, float]) -> None:
        if not amounts:
            return
        names = {f"#{place}": AMOUNT + name for place, name in enumerate(amounts)}
        values = {f":{place}": {"N": _number(amount)} for place, amount in enumerate(amounts.values())}
        with waiting_for("DynamoDB meter"):
            self._dynamodb.update_item(
                TableName=self._table,
                Key={PARTITION: {"S": "meter"}, SORT: {"S": f"{day}/{stage}"}},
                UpdateExpression="ADD " + ", ".join(f"#{place} :{place}" for place in range(len(names))),
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )

    def total(self, first_day: str, last_day: str) -> dict[str, dict[str, float]]:
        if first_day > last_day:
            return {}
        totals: dict[str, dict[str, Decimal]] = {}
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            ConsistentRead=True,
            KeyConditionExpression="#partition = :partition AND #sort BETWEEN :first AND :last",
            ExpressionAttributeNames={"#partition": PARTITION, "#sort": SORT},
            ExpressionAttributeValues={
                ":partition": {"S": "meter"},
                ":first": {"S": first_day},
                ":last": {"S": last_day + "/\U0010ffff"},
            },
        )
        with waiting_for("DynamoDB meter"):
            for item in (item for page in pages for item in page["Items"]):
                of_stage = totals.setdefault(item[SORT]["S"].partition("/")[2], {})
                for name in (name for name in item if name.startswith(AMOUNT)):
                    plain = name.removeprefix(AMOUNT)
                    of_stage[plain] = of_stage.get(plain, Decimal(0)) + Decimal(item[name]["N"])
        return {stage: {name: float(amount) for name, amount in of.items()} for stage, of in totals.items()}


def _number(amount: float) -> str:
    """With nine digits after the point, so that no sum outgrows the 38 that DynamoDB keeps."""
    return format(Decimal(amount).quantize(DIGITS).normalize(), "f")
