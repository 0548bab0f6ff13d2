"""AWS Budgets' notifications: what AWS's own bill says of this month.

Format: https://docs.aws.amazon.com/cost-management/latest/userguide/sns-notification-examples.html
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from watchkeeper_adapters.cloud.bill_trigger import catch_up

if TYPE_CHECKING:
    from watchkeeper_aws.container import Container

log = logging.getLogger(__name__)
_KIND = re.compile(r"Alert Type:\s*(ACTUAL|FORECASTED)", re.IGNORECASE)
_AMOUNT = re.compile(r"ACTUAL Amount:\s*\$?([\d,]+(?:\.\d+)?)", re.IGNORECASE)


def heed_bill(event: Mapping[str, Any], container: Container) -> float:
    """Dollars that were added. A forecast adds nothing, and what cannot be understood is said: the timer goes on."""
    added = 0.0
    for record in event["Records"]:
        text = str(record.get("Sns", {}).get("Message", ""))
        kind, amount = _KIND.search(text), _AMOUNT.search(text)
        if kind is None or (kind[1].upper() == "ACTUAL" and amount is None):
            log.error("a notification of AWS Budgets is not understood: %s", text[:500])
        elif kind[1].upper() == "ACTUAL" and amount is not None:
            added += catch_up(float(amount[1].replace(",", "")), container)
    return added
