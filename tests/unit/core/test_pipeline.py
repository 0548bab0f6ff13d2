"""The table holds together, and the core imports nothing that belongs to a runtime."""

import ast
import dataclasses
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from watchkeeper import packs, records
from watchkeeper.pipeline import MAY_WAIT, PIPELINE, STAGES
from watchkeeper.topology import DEAD_LETTER, RECORDS, TABLES, TOPICS, Every, Http, Topic

SHARED = Path(__file__).parents[3] / "shared"
SOURCES = sorted((SHARED / "watchkeeper").rglob("*.py"))
ALLOWED = {"bm25s", "msgspec", "numpy", "yaml", "watchkeeper"}
LAZY = {  # modules that are loaded when something of their kind comes first, and what they alone may import
    "training.py": {"sklearn"},
    "otlp.py": {"google", "opentelemetry"},
    "prometheus.py": {"prometheus_client"},
    "units.py": {"pint"},
}
SOCKETS = {
    "asyncio",
    "ftplib",
    "http",
    "imaplib",
    "multiprocessing",
    "poplib",
    "select",
    "selectors",
    "smtplib",
    "socket",
    "socketserver",
    "sqlite3",
    "ssl",
    "subprocess",
    "telnetlib",
    "urllib",
    "webbrowser",
    "wsgiref",
    "xmlrpc",
    "concurrent",
    "dbm",
    "shelve",
}
RUNTIMES = {
    "aiohttp",
    "azure",
    "boto3",
    "botocore",
    "confluent_kafka",
    "fastapi",
    "httpx",
    "iotcore",
    "kafka",
    "openai",
    "paho",
    "psutil",
    "pulumi",
    "requests",
    "rich",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "watchkeeper_adapters",
    "watchkeeper_api",
    "watchkeeper_aws",
    "watchkeeper_azure",
    "watchkeeper_local",
    "websockets",
}


@pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)
def test_a_topic_has_a_producer_and_a_consumer_or_says_who_is_outside(topic):
    producers = [stage.name for stage in PIPELINE if topic in stage.emits]
    consumers = [stage.name for stage in PIPELINE if topic in stage.topics]
    if topic is DEAD_LETTER:
        assert (producers, consumers, topic.consumer) == ([], [], "operators")  # the runner's own, for all stages
        return
    assert bool(producers) != bool(topic.producer), (producers, topic.producer)
    assert bool(consumers) != bool(topic.consumer), (consumers, topic.consumer)


def test_every_topic_and_table_that_a_stage_names_is_known():
    assert {t.name for s in PIPELINE for t in (*s.topics, *s.emits)} | {DEAD_LETTER.name} == set(TOPICS)
    assert {t.name for s in PIPELINE for t in (*s.writes, *s.reads)} == set(TABLES)


def test_a_table_has_exactly_one_writing_stage():
    writers = Counter(table.name for stage in PIPELINE for table in stage.writes)
    assert writers == dict.fromkeys(TABLES, 1)


def test_what_a_stage_takes_is_decodable():
    for stage in PIPELINE:
        for topic in stage.topics:
            assert topic.carries == "raw" or topic.carries in RECORDS
            assert stage.take is not None, f"{stage.name} is triggered by {topic.name} and takes nothing"


def test_what_a_topic_carries_is_a_record_that_says_its_version():
    for carries, kind in RECORDS.items():
        assert kind is packs.Pack if carries == "pack" else "v" in kind.__struct_fields__


@pytest.mark.parametrize("stage", PIPELINE, ids=lambda stage: stage.name)
def test_a_row_has_what_its_triggers_need(stage):
    assert STAGES[stage.name] is stage
    assert stage.on
    assert bool(stage.topics) == (stage.take is not None)
    assert stage.tick is None or stage.timer is not None
    assert (stage.codec is None) == (stage.state is None)
    assert all(isinstance(trigger, (Topic, Every, Http)) for trigger in stage.on)
    assert not {topic for topic in stage.emits if topic in stage.topics}, "a stage must not feed itself"
    assert not set(stage.reads) & set(stage.writes)
    if stage.codec:
        assert stage.codec.decode(stage.codec.encode(stage.codec.empty()))


def test_a_stage_with_one_state_hears_only_topics_of_one_partition():
    for stage in PIPELINE:
        if stage.state == "one":
            assert not any(topic.sharded for topic in stage.topics)


def test_what_a_stage_with_a_state_takes_says_which_shard_it_is_of():
    for stage in PIPELINE:
        if stage.state == "shard":
            for topic in stage.topics:
                kind = RECORDS[topic.carries]
                assert kind is packs.Pack or {"tenant", "device"} <= set(kind.__struct_fields__)


def test_there_is_no_circle():
    following = {s.name: {t.name for t in PIPELINE if set(s.emits) & set(t.topics)} for s in PIPELINE}
    reached = {name: set(direct) for name, direct in following.items()}
    for _ in PIPELINE:
        reached = {name: direct.union(*(reached[each] for each in direct)) for name, direct in reached.items()}
    assert all(name not in beyond for name, beyond in reached.items())


def test_the_records_that_are_tables_say_whose_they_are():
    without = {"spend", "cutoffs", "outbox"}  # of the installation, or inside the alert
    for table in TABLES.values():
        assert table.name in without or "tenant" in table.record.__struct_fields__
        assert "v" in table.record.__struct_fields__
    assert records.SCHEMA_VERSION == 1


def imports(source):
    """The first parts of what a module imports, wherever in it, and whether the type checker alone sees it."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative import"
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(SHARED).as_posix())
def test_a_module_of_the_core_imports_no_cloud_database_web_framework_or_socket(source):
    found = set(imports(source))
    known = ALLOWED | LAZY.get(source.name, set())
    assert not found & (SOCKETS | RUNTIMES) - known
    assert found <= set(sys.stdlib_module_names) | known


def test_importing_the_pipeline_loads_no_runtime():
    code = "import sys, watchkeeper.pipeline, watchkeeper.worker, watchkeeper.memory; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(SHARED)}
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert sorted(loaded & RUNTIMES) == []
    assert "sqlite3" not in loaded


def test_importing_the_rest_of_the_core_loads_none_either():
    apart = {"training.py", "retrain.py"}  # they load scikit-learn, and whatever that loads
    names = [
        ".".join(path.relative_to(SHARED).with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCES
        if path.name not in apart
    ]
    code = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(SHARED)}
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert sorted(loaded & RUNTIMES) == []


def test_no_stage_waits_by_which_data_are_kept_or_people_are_told():
    assert MAY_WAIT == ("ml_score",)


@pytest.mark.parametrize("name", ["rule_check", "clean", "store", "rag_explain", "notify", "budget_cutoff", "api"])
def test_what_must_not_wait_cannot_be_declared_to(name):
    with pytest.raises(ValueError, match=f"{name} may not wait"):
        dataclasses.replace(STAGES[name], may_wait=True)
