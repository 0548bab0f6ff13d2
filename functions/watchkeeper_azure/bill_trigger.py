"""Notifications of Azure's budgets, by an action group with the common alert schema.

Format: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-payload-samples (monitoringService CostAlerts).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from watchkeeper_adapters.cloud.bill_trigger import catch_up

if TYPE_CHECKING:
    from watchkeeper_azure.container import Container

log = logging.getLogger(__name__)
_AMOUNT = re.compile(r"^\$?([\d,]+(?:\.\d+)?)$")


def heed_bill(body: bytes, container: Container) -> float:
    """Dollars that were added. A forecast adds nothing, and what cannot be understood is said: the timer goes on."""
    told = _budget(body)
    kind = str(told.get("ThresholdType", "")).lower()
    amount = _AMOUNT.match(str(told.get("SpentAmount", "")).strip())
    in_dollars = told.get("Unit", "USD") == "USD"
    if kind.startswith("forecast"):
        return 0.0
    if kind != "actual" or amount is None or not in_dollars:
        log.error("a notification of Azure's budgets is not understood: %s", body[:500].decode("utf-8", "replace"))
        return 0.0
    return catch_up(float(amount[1].replace(",", "")), container)


def _budget(body: bytes) -> Mapping[str, Any]:
    """What an alert says of the budget; empty: it is no such alert."""
    try:
        found = msgspec.json.decode(body)["data"]["alertContext"]["AlertData"]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}
