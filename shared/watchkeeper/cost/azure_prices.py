"""The price book of Azure: list prices in US dollars by unit, as they were noted by hand; nothing is asked for."""

from __future__ import annotations

from watchkeeper.cost.prices import PriceBook

MILLION, TEN_THOUSAND = 1e6, 1e4

AZURE = PriceBook(
    "azure",
    "2025-07-01",
    "list prices of East US, noted by hand from Azure's pricing pages of each service; without free grants, "
    "reservations, support and taxes; they change, and other regions cost up to a third more",
    {
        # Functions, Flex Consumption, on demand
        "flex_gb_second": 0.000026,
        "flex_execution": 0.40 / MILLION,
        # Event Hubs, Standard
        "hubs_unit_hour": 0.030,
        "hubs_event": 0.028 / MILLION,  # by 64 KB
        # IoT Hub, by unit
        "iot_S1_month": 25.0,
        "iot_S2_month": 250.0,
        "iot_S3_month": 2500.0,
        # Cosmos DB
        "cosmos_unit": 0.25 / MILLION,  # a request unit, serverless
        "cosmos_autoscale_hour": 0.012,  # 100 request units a second
        "cosmos_gb_month": 0.25,
        # Blob storage, hot, one zone; the lake has hierarchical folders
        "lake_write": 0.065 / TEN_THOUSAND,  # by 4 MB
        "lake_read": 0.005 / TEN_THOUSAND,
        "lake_gb_month": 0.0208,
        "blob_write": 0.05 / TEN_THOUSAND,  # the host's own notes
        "blob_read": 0.004 / TEN_THOUSAND,
        # The rest
        "vault_call": 0.03 / TEN_THOUSAND,
        "log_gb": 2.30,
        "metric_alarm_month": 0.10,
        "log_alarm_month": 1.50,
        "pubsub_Standard_S1_month": 49.0,  # by unit
        "pubsub_message": 1.00 / MILLION,  # of 2 KB, to each listener
        "dashboard_Standard_month": 9.0,
    },
)
