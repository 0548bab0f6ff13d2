"""What the meter's numbers cost on AWS as they happen: compute and tokens. What runs by the hour cannot be cut off."""

from watchkeeper.cost.prices import PriceBook

GB_SECOND = 0.0000133334  # Lambda on arm64, first tier, us-east-1
MEMORY_GB = 1769 / 1024  # one whole core

METERED = PriceBook(
    "aws-metered",
    "2026-11-01",
    "list prices of AWS Lambda (arm64, us-east-1); 0.15 and 0.60 USD per million tokens of a small hosted model",
    {
        "busy_us": GB_SECOND * MEMORY_GB / 1e6,
        "prompt_tokens": 0.15e-6,
        "completion_tokens": 0.60e-6,
        "billed_usd": 1.0,  # what AWS's own bill had above all this: see bill_trigger
    },
)
