"""What the meter's numbers cost on Azure as they happen: compute, requests to Cosmos DB and tokens.

What runs by the hour cannot be cut off.
"""

from watchkeeper.cost.azure_estimate import MEMORY_GB
from watchkeeper.cost.azure_prices import AZURE
from watchkeeper.cost.prices import LOCAL, PriceBook

METERED = PriceBook(
    "azure-metered",
    AZURE.dated,
    f"{AZURE.source}; tokens of a language model: {LOCAL.source}",
    {
        "busy_us": AZURE.per_unit["flex_gb_second"] * MEMORY_GB / 1e6,
        "request_units": AZURE.per_unit["cosmos_unit"],
        "prompt_tokens": LOCAL.per_unit["prompt_tokens"],
        "completion_tokens": LOCAL.per_unit["completion_tokens"],
        "billed_usd": 1.0,  # what Azure's own bill had above all this: see bill_trigger
    },
)
