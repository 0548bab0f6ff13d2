"""The price book of AWS: list prices in US dollars by unit, as they were noted by hand; nothing is asked for."""

from __future__ import annotations

from watchkeeper.cost.prices import PriceBook

MILLION, THOUSAND = 1e6, 1e3

# Seen again elsewhere on 2026-11-26, in texts of others that quote us-east-1: duration and requests of Lambda, read and
# write units of DynamoDB since its reduction of November 2024. The other figures were not found again.
AWS = PriceBook(
    "aws",
    "2025-07-01",
    "list prices of us-east-1, noted by hand from AWS's pricing pages of each service; without free tiers, volume "
    "tiers, savings plans, support and taxes; they change, and other regions cost up to a third more",
    {
        # Lambda, on arm64
        "lambda_gb_second": 0.0000133334,
        "lambda_request": 0.20 / MILLION,
        "lambda_poller_unit_hour": 0.185,  # an event poller unit: 20 MB/s, four pollers of Kafka
        # MSK, standard brokers
        "kafka.t3.small_hour": 0.0456,
        "kafka.m7g.large_hour": 0.204,
        "kafka.m7g.xlarge_hour": 0.408,
        "kafka.m7g.2xlarge_hour": 0.816,
        "msk_gb_month": 0.10,
        # IoT Core, by Basic Ingest: no charge for the message itself
        "iot_connected_minute": 0.08 / MILLION,
        "iot_rule": 0.15 / MILLION,  # by 5 KB
        "iot_action": 0.15 / MILLION,  # by 5 KB
        # DynamoDB on demand
        "dynamodb_write_unit": 0.625 / MILLION,
        "dynamodb_read_unit": 0.125 / MILLION,
        "dynamodb_gb_month": 0.25 + 0.20,  # with point-in-time recovery
        # S3
        "s3_put": 0.005 / THOUSAND,
        "s3_get": 0.0004 / THOUSAND,
        "s3_gb_month": 0.023,
        # The rest
        "endpoint_zone_hour": 0.01,
        "transfer_between_zones_gb": 0.02,  # a cent on each side
        "kms_key_month": 1.00,
        "secret_month": 0.40,
        "log_gb": 0.50,
        "alarm_month": 0.10,
        "metric_month": 0.30,
        "dashboard_month": 3.00,
        "schedule_call": 1.00 / MILLION,
    },
)
