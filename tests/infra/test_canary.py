"""The canary's event is a request that the API takes, and a reading that ingest accepts."""

import json

from watchkeeper.memory import memory_ports
from watchkeeper.outcome import RawMessage
from watchkeeper.pipeline import STAGES
from watchkeeper.published import Published
from watchkeeper.run import Runner
from watchkeeper.stages.ingest import admit
from watchkeeper.topology import IOT_DATA_INGESTION
from watchkeeper_infra.canary import DEVICE, canary_event
from watchkeeper_local.knowledge import read_bundle

NOW = 1_790_000_000_000


def test_the_canary_sends_one_reading_that_is_accepted():
    event = json.loads(canary_event())
    assert (event["requestContext"]["http"]["method"], event["rawPath"]) == ("POST", "/ingest/realtime")
    ports, receipts = memory_ports(), []
    published = Published(ports, read_bundle())
    message = RawMessage(event["body"].encode(), NOW, "default", format="json", request="r")

    def decide(context):
        outcome, made = admit([message], IOT_DATA_INGESTION, context)
        receipts.extend(made)
        return outcome

    Runner(STAGES["ingest"], None, ports, published, 8, lambda: NOW).request(decide)
    assert [(receipt.accepted, receipt.rejected) for receipt in receipts] == [(1, [])]


def test_it_is_of_no_class_that_sends_more_often():
    catalogue = read_bundle().catalogue
    assert catalogue.profile(DEVICE).class_name == "generic"
