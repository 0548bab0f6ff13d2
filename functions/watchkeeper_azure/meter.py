"""The meter in Cosmos DB: an item per day and stage, a number per name, added to where it lies.

An addition whose answer was lost is tried again and may count twice; a meter may, and says so at its port.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure.cosmos.exceptions import CosmosResourceExistsError, CosmosResourceNotFoundError

from watchkeeper_azure.failures import waiting_for
from watchkeeper_azure.names import METER, PARTITION, SORT
from watchkeeper_azure.tables import item_id, range_query

if TYPE_CHECKING:
    from azure.cosmos import ContainerProxy

    from watchkeeper_azure.cosmos import CosmosDatabase

AMOUNTS = "amounts"
ALL = "meter"  # the one partition
AT_ONCE = 10  # operations that one patch takes
UNITS = "request_units"  # the name of what Cosmos DB has charged


class CosmosMeter:
    """Amounts by day (UTC), stage and name.

    `with_charges`: what the database has charged since the last addition goes along, as `request_units`.
    """

    def __init__(self, database: CosmosDatabase, prefix: str = "", *, with_charges: bool = False) -> None:
        self._database, self._name, self._with_charges = database, prefix + METER, with_charges

    def add(self, day: str, stage: str, amounts: Mapping[str, float]) -> None:
        if not amounts:
            return
        spent = self._database.charges.spent() if self._with_charges else 0.0
        given = list(({**amounts, UNITS: spent} if spent else amounts).items())
        try:
            with waiting_for("Cosmos DB meter"):
                for start in range(0, len(given), AT_ONCE):
                    self._add(f"{day}/{stage}", dict(given[start : start + AT_ONCE]))
        except BaseException:
            self._database.charges.add(spent)
            raise

    def total(self, first_day: str, last_day: str) -> dict[str, dict[str, float]]:
        if first_day > last_day:
            return {}
        after_last = last_day + "0"  # the sign after the slash that follows a day
        query, bounds = range_query(first_day, after_last)

        def read(container: ContainerProxy) -> list[dict[str, Any]]:
            return list(container.query_items(query, parameters=bounds, partition_key=ALL))

        with waiting_for("Cosmos DB meter"):
            found = self._database.ask(self._name, read)
        totals: dict[str, dict[str, float]] = {}
        for item in found:
            of_stage = totals.setdefault(item[SORT].partition("/")[2], {})
            for name, amount in item[AMOUNTS].items():
                of_stage[name] = of_stage.get(name, 0.0) + amount
        return totals

    def _add(self, sort: str, amounts: Mapping[str, float]) -> None:
        additions = [
            {"op": "incr", "path": f"/{AMOUNTS}/{_pointer(name)}", "value": amount} for name, amount in amounts.items()
        ]

        def patch(container: ContainerProxy) -> None:
            container.patch_item(item_id(sort), ALL, additions)

        def create(container: ContainerProxy) -> None:
            container.create_item({"id": item_id(sort), PARTITION: ALL, SORT: sort, AMOUNTS: {}})

        try:
            self._database.ask(self._name, patch)
        except CosmosResourceNotFoundError:
            with contextlib.suppress(CosmosResourceExistsError):  # made by another, or by us, and we were not told so
                self._database.ask(self._name, create)
            self._database.ask(self._name, patch)


def _pointer(name: str) -> str:
    """A name as a part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
