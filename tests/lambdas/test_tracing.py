"""Traces of a function, as the X-Ray daemon beside it is sent them."""

import json
import socket
import time

import pytest

from tests.emulators.lambda_runtime import PARENT, TRACE_ID, Function

HEADER = {"format": "json", "version": 1}


@pytest.fixture
def daemon():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.setblocking(False)
        yield taken


@pytest.fixture
def traced(stack, daemon):
    """A function whose invocations are sampled, or not."""
    started = []

    def start(sampled):
        told = stack.environment | {
            "WATCHKEEPER_STAGE": "rule_check",
            "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{daemon.getsockname()[1]}",
        }
        started.append(Function("watchkeeper_aws.handlers.rule_check.handler", told, sampled=sampled))
        return started[-1]

    yield start
    for function in started:
        function.stop()


def sent(daemon):
    """What has come so far: each datagram is a header, a line end and a document."""
    documents = []
    while True:
        try:
            header, _, document = daemon.recv(65_536).partition(b"\n")
        except BlockingIOError:
            return documents
        assert json.loads(header) == HEADER
        documents.append(json.loads(document))


def parts(document):
    yield document
    for part in document.get("subsegments", []):
        yield from parts(part)


def test_an_invocation_is_found_by_the_correlation_id_of_its_log_lines(traced, daemon):
    answer = traced(sampled=True).invoke({"timer": "rule_check"})
    assert answer.value()["ticked"] == 8
    documents = sent(daemon)
    assert {document["trace_id"] for document in documents} == {TRACE_ID}
    (whole,) = [part for document in documents for part in parts(document) if part["name"] == "## rule_check"]
    assert whole["parent_id"] == PARENT
    assert whole["end_time"] >= whole["start_time"] > time.time() - 120
    assert len(whole["annotations"]["correlation_id"]) > 8
    asked = [part["name"] for document in documents for part in parts(document) if part.get("namespace") == "aws"]
    assert "s3" in asked, "requests to AWS are parts of the trace"


def test_an_invocation_that_fails_is_a_fault_in_its_trace(traced, daemon):
    assert traced(sampled=True).invoke({"timer": "notify"}).body["errorType"] == "Undeclared"
    (whole,) = [part for document in sent(daemon) for part in parts(document) if part["name"] == "## rule_check"]
    assert whole["fault"]
    assert whole["cause"]["exceptions"][0]["type"] == "Undeclared"


def test_what_lambda_does_not_sample_is_not_sent(traced, daemon):
    assert traced(sampled=False).invoke({"timer": "rule_check"}).value()["ticked"] == 8
    assert sent(daemon) == []
