"""The canary of a stack: a reading by the API's front door every few minutes, asked for by the cloud's own scheduler.

The watch over the pipeline must not depend on it, so it is the cloud's: an alarm when nothing is stored any more. With
the canary, silence is never just that no device sends.
"""

from __future__ import annotations

import json

DEVICE = "watchkeeper-cloud-canary"
PATH = "/ingest/realtime"


def canary_reading() -> str:
    """The reading, which has no time: it is of when it comes."""
    return json.dumps({"device": DEVICE, "values": {"sent": 1}})


def canary_event() -> str:
    """What the scheduler hands to the function of the API: a request as the gateway would hand it on, from ourselves.

    Format: payload 2.0 of API Gateway's integrations with Lambda.
    """
    event = {
        "version": "2.0",
        "routeKey": "ANY /ingest/{proxy+}",
        "rawPath": PATH,
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "http": {"method": "POST", "path": PATH, "sourceIp": ""},
            "authorizer": {"lambda": {"name": "canary", "tenant": "default"}},
            "requestId": "canary",
        },
        "body": canary_reading(),
        "isBase64Encoded": False,
    }
    return json.dumps(event)
