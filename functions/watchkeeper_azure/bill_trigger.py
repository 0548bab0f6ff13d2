"""Notifications of Azure's budgets, by an action group: in the common alert schema, or in the older one of budgets.

Sources: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-payload-samples, "Sample payloads for test
actions": `Actual Cost Budget` and `Forecasted Budget` (`azureMonitorCommonAlertSchema`), and `Budget`
(`AIP Budget Notification`), which is also in
https://learn.microsoft.com/azure/cost-management-billing/manage/cost-management-budget-scenario. The older one does not
say whether it is a forecast: the budget's name does, as the stack names them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from watchkeeper_adapters.cloud.bill_trigger import catch_up
from watchkeeper_azure.names import FORECASTED

if TYPE_CHECKING:
    from watchkeeper_azure.container import Container

log = logging.getLogger(__name__)
COMMON, OLDER = "azureMonitorCommonAlertSchema", "AIP Budget Notification"
_AMOUNT = re.compile(r"^\$?([\d,]+(?:\.\d+)?)$")


class _Bill(NamedTuple):
    kind: str  # actual or forecasted
    amount: str
    unit: str


def heed_bill(body: bytes, container: Container) -> float:
    """Dollars that were added. A forecast adds nothing, and what cannot be understood is said: the timer goes on."""
    bill = _bill(body)
    if bill is not None and bill.kind == "forecasted":
        return 0.0
    amount = _AMOUNT.match(bill.amount) if bill else None
    if bill is None or bill.kind != "actual" or amount is None or bill.unit != "USD":
        log.error("a notification of Azure's budgets is not understood: %s", body[:500].decode("utf-8", "replace"))
        return 0.0
    return catch_up(float(amount[1].replace(",", "")), container)


def _bill(body: bytes) -> _Bill | None:
    """What a notification says of the budget; None: it is in neither form."""
    try:
        found = msgspec.json.decode(body)
        data = found["data"]
        if found["schemaId"] == COMMON:
            return _common(data["alertContext"]["AlertData"])
        if found["schemaId"] == OLDER:
            return _older(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError):
        pass
    return None


def _common(told: Mapping[str, Any]) -> _Bill:
    return _Bill(str(told["ThresholdType"]).lower(), str(told["SpentAmount"]).strip(), str(told.get("Unit", "USD")))


def _older(told: Mapping[str, Any]) -> _Bill:
    kind = "forecasted" if str(told["BudgetName"]).endswith(FORECASTED) else "actual"
    return _Bill(kind, str(told["SpendingAmount"]).strip(), str(told["Unit"]))
