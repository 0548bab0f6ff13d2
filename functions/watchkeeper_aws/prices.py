"""What the meter's numbers cost on AWS as they happen: compute and tokens. What runs by the hour cannot be cut off."""

from watchkeeper.cost.aws_prices import AWS
from watchkeeper.cost.prices import LOCAL, PriceBook

MEMORY_GB = 1769 / 1024  # one whole core

METERED = PriceBook(
    "aws-metered",
    AWS.dated,
    f"{AWS.source}; tokens of a language model: {LOCAL.source}",
    {
        "busy_us": AWS.per_unit["lambda_gb_second"] * MEMORY_GB / 1e6,
        "prompt_tokens": LOCAL.per_unit["prompt_tokens"],
        "completion_tokens": LOCAL.per_unit["completion_tokens"],
        "billed_usd": 1.0,  # what AWS's own bill had above all this: see bill_trigger
    },
)
