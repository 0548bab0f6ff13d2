"""Tables in DynamoDB: one for each, keyed by `pk` and `sk`; a row is its bytes, its version, perhaps its end.

A version is random, so no two writes have the same one. A conditional write that was done and whose answer was lost is
tried again by boto3 and refused; the refusal brings the row that is there, and if that has our version we have won.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from watchkeeper.errors import Conflict, Unavailable
from watchkeeper.outcome import ABSENT, ANYWAY, Any_
from watchkeeper.ports import Key, Row
from watchkeeper.topology import LIFETIMES_S
from watchkeeper_aws.services import code_of, waiting_for

AT_ONCE = 100  # keys that one BatchGetItem takes
WRITTEN_AT_ONCE = 25  # items that one BatchWriteItem takes
ROUNDS = 8  # in which what was left unprocessed is asked for again
FIRST_PAUSE_S = 0.05
PARTITION, SORT = "pk", "sk"
EXPIRES = "ttl"  # epoch seconds; what DynamoDB deletes rows by, some days late


class DynamoTables:
    """Rows by key. DynamoDB orders text as UTF-8 bytes; all reads are consistent.

    `prefix` goes before a table's name. Rows end so long after they were last written as the topology says, or
    `lifetimes_s` of other tables; what has ended is not there, though DynamoDB takes days to delete it.
    """

    def __init__(self, dynamodb: Any, prefix: str = "", lifetimes_s: Mapping[str, float] | None = None) -> None:  # noqa: ANN401
        self._dynamodb, self._prefix = dynamodb, prefix
        self._lifetimes = {**LIFETIMES_S, **(lifetimes_s or {})}

    def get_many(self, table: str, keys: Sequence[Key]) -> dict[Key, Row]:
        found: dict[Key, Row] = {}
        wanted = list(dict.fromkeys(keys))
        if len(wanted) == 1:
            with waiting_for(f"DynamoDB {table}"):
                asked = {"TableName": self._prefix + table, "Key": _key(wanted[0]), "ConsistentRead": True}
                answer = self._dynamodb.get_item(**asked)
            row = _row(answer["Item"]) if "Item" in answer else None
            return {row.key: row} if row else {}
        for start in range(0, len(wanted), AT_ONCE):
            for item in self._batch(self._prefix + table, wanted[start : start + AT_ONCE]):
                if row := _row(item):
                    found[row.key] = row
        return {key: found[key] for key in wanted if key in found}

    def put(self, table: str, key: Key, value: bytes, expect: str | Any_ | None = ANYWAY) -> str:
        item = self._item(table, key, value)
        version: str = item["version"]["S"]
        asked: dict[str, Any] = {"TableName": self._prefix + table, "Item": item}
        if expect is not ANYWAY:
            asked |= _condition(expect) | {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        with waiting_for(f"DynamoDB {table}"):
            try:
                self._dynamodb.put_item(**asked)
            except ClientError as error:
                if code_of(error) != "ConditionalCheckFailedException":
                    raise
                held = error.response.get("Item", {}).get("version", {}).get("S", "none")
                if held != version:
                    message = f"{table} {'/'.join(key)}: expected version {expect or 'none'}, found {held}"
                    raise Conflict(message) from error
        return version

    def put_many(self, table: str, rows: Mapping[Key, bytes]) -> None:
        name, wanted = self._prefix + table, [self._item(table, key, value) for key, value in rows.items()]
        for start in range(0, len(wanted), WRITTEN_AT_ONCE):
            left = {name: [{"PutRequest": {"Item": item}} for item in wanted[start : start + WRITTEN_AT_ONCE]]}
            self._until_done(table, left, self._write)

    def query(
        self, table: str, partition: str, low: str = "", high: str = "", limit: int = 1000, *, descending: bool = False
    ) -> list[Row]:
        if high and low >= high:
            return []
        asked = _range(partition, low, high) | {
            "TableName": self._prefix + table,
            "ConsistentRead": True,
            "ScanIndexForward": not descending,
        }
        rows: list[Row] = []
        while len(rows) < limit:
            # One more than is wanted: DynamoDB's ranges have their high end, ours do not.
            with waiting_for(f"DynamoDB {table}"):
                answer = self._dynamodb.query(**asked, Limit=limit - len(rows) + 1)
            found = (_row(item) for item in answer["Items"])
            rows += [row for row in found if row and not (high and row.key.sort >= high)]
            if "LastEvaluatedKey" not in answer:
                break
            asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        return rows[:limit]

    def delete(self, table: str, key: Key) -> None:
        """Remove a row; one that is not there is no error. No stage does: only what the runtime keeps for itself."""
        with waiting_for(f"DynamoDB {table}"):
            self._dynamodb.delete_item(TableName=self._prefix + table, Key=_key(key))

    def _item(self, table: str, key: Key, value: bytes) -> dict[str, dict[str, Any]]:
        item = _key(key) | {"value": {"B": value}, "version": {"S": secrets.token_urlsafe(9)}}
        if table in self._lifetimes:
            item[EXPIRES] = {"N": str(round(time.time() + self._lifetimes[table]))}
        return item

    def _batch(self, name: str, keys: Sequence[Key]) -> list[dict[str, Any]]:
        """All items of at most 100 keys."""
        items: list[dict[str, Any]] = []

        def read(left: dict[str, Any]) -> dict[str, Any]:
            answer = self._dynamodb.batch_get_item(RequestItems=left)
            items.extend(answer.get("Responses", {}).get(name, []))
            return answer.get("UnprocessedKeys") or {}

        self._until_done(name, {name: {"Keys": [_key(key) for key in keys], "ConsistentRead": True}}, read)
        return items

    def _write(self, left: dict[str, Any]) -> dict[str, Any]:
        return self._dynamodb.batch_write_item(RequestItems=left).get("UnprocessedItems") or {}

    @staticmethod
    def _until_done(table: str, left: dict[str, Any], ask: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Ask, and for what DynamoDB leaves unprocessed again, later and later. Unavailable: some is still left."""
        for round_ in range(ROUNDS):
            with waiting_for(f"DynamoDB {table}"):
                left = ask(left)
            if not left:
                return
            time.sleep(FIRST_PAUSE_S * 2**round_ * random.uniform(0.5, 1.0))  # noqa: S311 - so that not all wait alike
        (rest,) = left.values()
        number = len(rest["Keys"] if isinstance(rest, dict) else rest)
        raise Unavailable(f"DynamoDB {table}: {number} rows are still unprocessed after {ROUNDS} tries")


def _key(key: Key) -> dict[str, dict[str, Any]]:
    return {PARTITION: {"S": key.partition}, SORT: {"S": key.sort}}


def _row(item: Mapping[str, Any]) -> Row | None:
    """The row of an item; None: it has ended."""
    if EXPIRES in item and float(item[EXPIRES]["N"]) <= time.time():
        return None
    key = Key(item[PARTITION]["S"], item[SORT]["S"])
    return Row(key, bytes(item["value"]["B"]), item["version"]["S"])


def _condition(expect: str | Any_ | None) -> dict[str, Any]:
    if expect is ABSENT:
        return {
            "ConditionExpression": "attribute_not_exists(#key) OR #expires <= :now",
            "ExpressionAttributeNames": {"#key": PARTITION, "#expires": EXPIRES},
            "ExpressionAttributeValues": {":now": {"N": str(int(time.time()))}},
        }
    return {
        "ConditionExpression": "#version = :version",
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": {":version": {"S": expect}},
    }


def _range(partition: str, low: str, high: str) -> dict[str, Any]:
    """The condition of a range. Its high end is in it: one condition on the sort key is all that DynamoDB takes."""
    names, values = {"#partition": PARTITION}, {":partition": {"S": partition}}
    condition = "#partition = :partition"
    if low or high:
        names["#sort"] = SORT
        values |= {f":{name}": {"S": text} for name, text in (("low", low), ("high", high)) if text}
        both, one = " AND #sort BETWEEN :low AND :high", " AND #sort >= :low" if low else " AND #sort < :high"
        condition += both if low and high else one
    return {
        "KeyConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
