"""What the meter's numbers cost on Azure as they happen: compute, requests to Cosmos DB and tokens.

What runs by the hour cannot be cut off.
"""

from watchkeeper.cost.prices import PriceBook

GB_SECOND = 0.000026  # Flex Consumption, on demand, East US
MEMORY_GB = 2.0
REQUEST_UNIT = 0.25e-6  # Cosmos DB serverless, East US

METERED = PriceBook(
    "azure-metered",
    "2026-11-01",
    "list prices of Azure Functions (Flex Consumption) and Cosmos DB (serverless), East US; 0.15 and 0.60 USD per "
    "million tokens of a small hosted model",
    {
        "busy_us": GB_SECOND * MEMORY_GB / 1e6,
        "request_units": REQUEST_UNIT,
        "prompt_tokens": 0.15e-6,
        "completion_tokens": 0.60e-6,
        "billed_usd": 1.0,  # what Azure's own bill had above all this: see bill_trigger
    },
)
