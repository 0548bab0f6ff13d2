"""The containers that the adapters expect, as a list from the pipeline; what makes them is `infra/`, or a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchkeeper.dead_letters import TAKEN
from watchkeeper.topology import TABLES
from watchkeeper_azure.names import API_KEYS, METER, PARTITION, SORT

if TYPE_CHECKING:
    from azure.cosmos import DatabaseProxy

NEVER = -1  # what is written in a container ends only where it says so itself


def table_names() -> tuple[str, ...]:
    """All tables, without their prefix."""
    return (*TABLES, TAKEN.name, METER, API_KEYS)


def make_tables(database: DatabaseProxy, prefix: str = "") -> None:
    """Make them: divided by one key, and of what is in them only the two keys indexed."""
    from azure.cosmos import PartitionKey

    for name in table_names():
        database.create_container(
            prefix + name,
            PartitionKey(f"/{PARTITION}"),
            indexing_policy={
                "includedPaths": [{"path": f"/{PARTITION}/?"}, {"path": f"/{SORT}/?"}],
                "excludedPaths": [{"path": "/*"}],
            },
            default_ttl=NEVER,
        )
