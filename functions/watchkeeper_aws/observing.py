"""What a function says of itself: log lines as JSON with a correlation id, metrics in them (EMF), and traces.

Traces are X-Ray's: Lambda begins one, and says whether it is kept. A part for each invocation and one for each request
to AWS are added to it; by the correlation id of its log lines an invocation is found there.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

from watchkeeper_adapters.cloud.observing import is_metric
from watchkeeper_aws.names import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 500  # characters of an annotation; X-Ray takes 1,000
TRACED = ("botocore",)  # all that there is to patch would load much that no function needs
CHATTY = ("aws_xray_sdk", "boto3", "botocore", "httpx", "urllib3")


class Observer:
    """A function's voice. `counts` become metrics when an invocation ends, those that are not zero."""

    def __init__(self, service: str) -> None:
        """Log lines of the core's and of libraries take the same form."""
        self.log = Logger(service=service, use_rfc3339=True)
        self._metrics = Metrics(namespace=METRICS, service=service)
        self._tracer = Tracer(service=service, patch_modules=TRACED)  # of no effect but in Lambda
        self.counts: Counter[str] = Counter()
        handler = logging.StreamHandler(sys.stdout)  # Lambda's own writes no line ends of its own
        handler.setFormatter(self.log.registered_formatter)
        root = logging.getLogger()
        root.handlers = [handler]
        root.setLevel(self.log.log_level)
        logging.getLogger(service).propagate = False
        for name in CHATTY:
            logging.getLogger(name).setLevel(max(logging.WARNING, self.log.log_level))

    @contextlib.contextmanager
    def invocation(self, context: Any, correlation: str) -> Iterator[None]:  # noqa: ANN401 - Lambda's context
        """One of them: its lines and its trace carry `correlation`; its metrics are written when it is over, anyhow."""
        self.counts = Counter()
        self.log.structure_logs(append=True, request_id=context.aws_request_id)
        correlation = correlation or context.aws_request_id
        self.log.set_correlation_id(correlation)
        try:
            with self._tracer.provider.in_subsegment(f"## {self._tracer.service}") as part:
                part.put_annotation("correlation_id", correlation[:LONGEST])
                yield
        finally:
            for name, amount in self.counts.items():
                if amount and is_metric(name):
                    self._metrics.add_metric(name, MetricUnit.Count, amount)
            if self._metrics.metric_set:
                self._metrics.flush_metrics()

    def lag(self, milliseconds: int) -> None:
        """How old the newest record of a partition was when it was taken."""
        self._metrics.add_metric("lag_ms", MetricUnit.Milliseconds, max(0, milliseconds))
