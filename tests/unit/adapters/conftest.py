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
        "a1", "default", "north", "pump-07", "pump", "model", "open", 1_760_000_000_000, Severity.CRITICAL,
        "Unusual vibration",
        metrics={
            "vibration": MetricView(9.5, 2.0, 1.0, 3.0, 0.8),
            "flow": MetricView(40.0, 41.0, 35.0, 45.0, 0.2),
        },
    )  # fmt: skip


@pytest.fixture
def passages(bundle, anomaly):
    return look_up(anomaly, bundle.library).passages


@pytest.fixture
def report():
    return Report(
        "ep-1", "default", "pump-07", 1_760_000_000_000, "Unusual vibration on pump-07 (north).", 0.9,
        ("A bearing is worn", "The shaft is misaligned"),
        ("Listen to the bearing", "Check the alignment", "Look at the grease", "Call the workshop"),
        (Source("pump-bearing-wear.md", "Likely causes", "…"), Source("pump-bearing-wear.md", "What to do", "…")),
        Severity.CRITICAL, "mechanical",
    )  # fmt: skip


@pytest.fixture
def alert(report):
    return Alert(
        "ep-1", "default", "north", "pump-07", "pump", "model", "firing", Severity.CRITICAL,
        "Unusual vibration (pump-07)", 1_760_000_000_000, 1_760_000_000_000, report=report,
    )  # fmt: skip
