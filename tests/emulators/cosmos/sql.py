"""The part of Cosmos DB's SQL that the adapters use; all else is refused, as is a value written into the text.

`SELECT * FROM c [WHERE c.p >= @x [AND …]] [ORDER BY c.p [ASC|DESC]]`, and for patches `FROM c WHERE c.p = 'literal'`.
"""

from __future__ import annotations

import json
import operator
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.emulators.cosmos.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

QUERY = re.compile(
    r"\s*SELECT\s+\*\s+FROM\s+c(?:\s+WHERE\s+(?P<where>.+?))?"
    r"(?:\s+ORDER\s+BY\s+c\.(?P<order>\w+)(?:\s+(?P<way>ASC|DESC))?)?\s*",
    re.IGNORECASE | re.DOTALL,
)
PREDICATE = re.compile(r"\s*FROM\s+c\s+WHERE\s+(?P<where>.+?)\s*", re.IGNORECASE | re.DOTALL)
CONDITION = re.compile(r"\s*c\.(?P<name>\w+)\s*(?P<sign>>=|<=|=|<|>)\s*(?P<value>@\w+|'[^'\\]*'|-?\d+(?:\.\d+)?)\s*")
SIGNS = {">=": operator.ge, "<=": operator.le, "=": operator.eq, "<": operator.lt, ">": operator.gt}


class Condition(NamedTuple):
    """One of those that must all hold."""

    name: str
    sign: str
    value: Any

    def holds(self, item: Mapping[str, Any]) -> bool:
        """Values of two types are never equal, nor is one of them less: the item is left out."""
        there = item.get(self.name)
        return type(there) is type(self.value) and SIGNS[self.sign](_ordered(there), _ordered(self.value))


class Query(NamedTuple):
    """What is looked for, and in which order."""

    conditions: tuple[Condition, ...]
    order: str = ""
    descending: bool = False

    def run(self, items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those that are found, in order; items without what it is ordered by are not."""
        found = [item for item in items if all(condition.holds(item) for condition in self.conditions)]
        if not self.order:
            return found
        there = [item for item in found if self.order in item]
        return sorted(there, key=lambda item: _ordered(item[self.order]), reverse=self.descending)


def parse_query(text: str, parameters: Sequence[Mapping[str, Any]]) -> Query:
    """A query with its parameters. Refusal: it is none of ours, or names a parameter that is not given."""
    found = QUERY.fullmatch(text)
    if not found:
        raise Refusal(400, f"Syntax error, or not known to the stand-in: {text!r}")
    values = {each["name"]: each["value"] for each in parameters}
    return Query(_conditions(found["where"], values), found["order"] or "", (found["way"] or "").upper() == "DESC")


def parse_predicate(text: str) -> Query:
    """The condition of a patch, whose values can be in the text only."""
    found = PREDICATE.fullmatch(text)
    if not found:
        raise Refusal(400, f"Syntax error, or not known to the stand-in: {text!r}")
    return Query(_conditions(found["where"], None))


def _conditions(where: str | None, values: Mapping[str, Any] | None) -> tuple[Condition, ...]:
    """`values`: of parameters; None: there are none, and literals instead."""
    conditions = []
    for part in re.split(r"\s+AND\s+", where, flags=re.IGNORECASE) if where else []:
        found = CONDITION.fullmatch(part)
        if not found:
            raise Refusal(400, f"Syntax error, or not known to the stand-in: {part!r}")
        name = found["value"]
        if name.startswith("@") != (values is not None) or (values is not None and name not in values):
            raise Refusal(400, f"Parameters are for queries, and all must be given: {part!r}")
        value = values[name] if values is not None else json.loads(name.replace("'", '"'))
        conditions.append(Condition(found["name"], found["sign"], value))
    return tuple(conditions)


def _ordered(value: Any) -> Any:
    """Texts are ordered by their bytes."""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
