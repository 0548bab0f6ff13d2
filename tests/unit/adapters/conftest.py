from pathlib import Path

import pytest

from tests.unit.adapters.stand_ins import ChatStandIn, StandIn
from watchkeeper.explaining.report import look_up
from watchkeeper.knowledge.bundle import FOLDERS, Bundle
from watchkeeper.records import Alert, Anomaly, MetricView, Report, Severity, Source
from watchkeeper_adapters.language_model import OpenAICompatible

KNOWLEDGE_BASE = Path(__file__).parents[3] / "knowledge_base"


@pytest.fixture
def chat_server():
    server = ChatStandIn()
    yield server
    server.close()


@pytest.fixture
def hook_server():
    server = StandIn((204, {}, b""))
    yield server
    server.close()


@pytest.fixture
def open_model(chat_server):
    """Makes models that talk to the stand-in, and closes them."""
    opened = []

    def make(**options):
        options = {"timeout_s": 5.0} | options
        opened.append(OpenAICompatible(f"{chat_server.url}/v1", "small-model", ChatStandIn.KEY, **options))
        return opened[-1]

    yield make
    for model in opened:
        model.close()


@pytest.fixture
def model(open_model):
    return open_model()


@pytest.fixture(scope="session")
def bundle():
    paths = [path for folder in FOLDERS for path in (KNOWLEDGE_BASE / folder).rglob("*") if path.is_file()]
    return Bundle.from_files({path.relative_to(KNOWLEDGE_BASE).as_posix(): path.read_text("utf-8") for path in paths})


@pytest.fixture
def anomaly():
    return Anomaly(
        episode="1760000000000-e1",
        id="a1",
        tenant="default",
        site="north",
        device="pump-07",
        device_class="pump",
        detector="model",
        phase="open",
        ts=1_760_000_000_000,
        severity=Severity.CRITICAL,
        summary="Unusual vibration",
        metrics={
            "vibration": MetricView(9.5, 2.0, 1.0, 3.0, 0.8),
            "flow": MetricView(40.0, 41.0, 35.0, 45.0, 0.2),
        },
    )


@pytest.fixture
def passages(bundle, anomaly):
    return look_up(anomaly, bundle.library).passages


@pytest.fixture
def report():
    return Report(
        episode="ep-1",
        tenant="default",
        device="pump-07",
        ts=1_760_000_000_000,
        what="Unusual vibration on pump-07 (north).",
        confidence=0.9,
        causes=("A bearing is worn", "The shaft is misaligned"),
        steps=("Listen to the bearing", "Check the alignment", "Look at the grease", "Call the workshop"),
        sources=(
            Source("pump-bearing-wear.md", "Likely causes", "…"),
            Source("pump-bearing-wear.md", "What to do", "…"),
        ),
        severity=Severity.CRITICAL,
        category="mechanical",
    )


@pytest.fixture
def alert(report):
    return Alert(
        id="ep-1",
        tenant="default",
        site="north",
        device="pump-07",
        device_class="pump",
        detector="model",
        status="firing",
        severity=Severity.CRITICAL,
        title="Unusual vibration (pump-07)",
        opened=1_760_000_000_000,
        ts=1_760_000_000_000,
        report=report,
    )
