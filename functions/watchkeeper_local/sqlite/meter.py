"""The meter: a sum per day, stage and name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from watchkeeper_local.sqlite.database import Database


class SqliteMeter:
    """Amounts, added to where they lie."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, day: str, stage: str, amounts: Mapping[str, float]) -> None:
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT INTO meter VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount",
                [(day, stage, name, amount) for name, amount in amounts.items()],
            )

    def total(self, first_day: str, last_day: str) -> dict[str, dict[str, float]]:
        totals: dict[str, dict[str, float]] = defaultdict(dict)
        with self._database.reading() as connection:
            for stage, name, amount in connection.execute(
                "SELECT stage, name, SUM(amount) FROM meter WHERE day BETWEEN ? AND ? GROUP BY stage, name",
                (first_day, last_day),
            ):
                totals[stage][name] = amount
        return dict(totals)
