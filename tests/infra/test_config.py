"""A stack's configuration: what is right is read, what is wrong is named with its value and what is allowed."""

import json
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.docs.pages import ROOT
from watchkeeper.cost.aws_stack import LARGE, SMALL
from watchkeeper.pipeline import PIPELINE
from watchkeeper_infra.aws_config import HELP, SECRETS, AwsConfig
from watchkeeper_infra.config import Given, read_config
from watchkeeper_infra.errors import StackConfigError
from watchkeeper_infra.functions import FUNCTIONS, NO_FUNCTION, consumers_first

LEAST = {"aws:region": "eu-central-1", "watchkeeper:cloud": "aws", "watchkeeper:costCentre": "iot"}


def config(secret=(), stack="aws-dev", **keys):
    values = LEAST | {f"watchkeeper:{k}": v if isinstance(v, str) else json.dumps(v) for k, v in keys.items()}
    return read_config(Given(stack, values, {f"watchkeeper:{key}" for key in secret}))


def example():
    """Pulumi.aws.yaml as Pulumi hands it over: scalars as text, the rest as JSON."""
    keys = yaml.safe_load((ROOT / "Pulumi.aws.yaml").read_text("utf-8"))["config"]
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in keys.items()}


def test_the_example_is_right_and_holds_every_key_with_its_default():
    values = example()
    assert read_config(Given("aws", values)) == read_config(
        Given("aws", LEAST | {"watchkeeper:costCentre": "watchkeeper"})
    )
    text = (ROOT / "Pulumi.aws.yaml").read_text("utf-8")
    for field in msgspec.structs.fields(AwsConfig):
        assert f"watchkeeper:{field.encode_name}:" in text
        assert (f"watchkeeper:{field.encode_name}" in values) == (field.name not in SECRETS)


def test_an_estimate_takes_the_stack_for_what_the_configuration_makes_it():
    read = config()
    for field in msgspec.structs.fields(SMALL):
        assert getattr(SMALL, field.name) == getattr(read, field.name)
    large = {
        AwsConfig.__struct_encode_fields__[AwsConfig.__struct_fields__.index(name)]: value
        for name, value in msgspec.structs.asdict(LARGE).items()
    }
    assert config(**large, kafkaLogin="iam").kafka_brokers == LARGE.kafka_brokers


def test_every_key_has_its_help_and_no_other_has():
    assert set(HELP) == {field.name for field in msgspec.structs.fields(AwsConfig)}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"zones": "5"}, "watchkeeper:zones: '5' is not allowed; 2 or 3"),
        ({"shards": "0"}, "watchkeeper:shards: '0' is not allowed; a whole number from 1 to 1024"),
        ({"shards": "many"}, "watchkeeper:shards: 'many' is not allowed; a whole number from 1 to 1024"),
        ({"protect": "perhaps"}, "watchkeeper:protect: 'perhaps' is not allowed; true or false"),
        ({"nat": "two"}, "watchkeeper:nat: 'two' is not allowed; none, one or per-zone"),
        ({"logDays": "8"}, "watchkeeper:logDays: '8' is not allowed; 1, 3,"),
        ({"cloud": "azur"}, "watchkeeper:cloud: 'azur' is not allowed; aws"),
        ({"kafkaBrokrs": "2"}, "watchkeeper:kafkaBrokrs: unknown key (did you mean kafkaBrokers?)"),
        ({"kafkaVersion": "latest"}, "watchkeeper:kafkaVersion: 'latest' is not allowed; such as 3.9.x"),
        ({"kafkaBrokers": "3"}, "watchkeeper:kafkaBrokers: 3 is not allowed; a multiple of the 2 zones"),
        ({"partitions": "9"}, "watchkeeper:partitions: 9 is not allowed; at most the 8 shards"),
        ({"partitions": "60", "shards": "64"}, "watchkeeper:partitions: 60 is not allowed; 962 replicas are more than"),
        ({"retryHours": "72"}, "watchkeeper:retryHours: 72 is not allowed; less than the 72 hours of retention"),
        ({"pollers": "9"}, "watchkeeper:pollersAtMost: 4 is not allowed; at least the 9 pollers"),
        ({"pollersAtMost": "300"}, "watchkeeper:pollersAtMost: 300 is not allowed; at most 250: 8 mappings share"),
        ({"cidr": "8.8.0.0/16"}, "watchkeeper:cidr: '8.8.0.0/16' is not allowed; a private network"),
        ({"cidr": "10.0.0.1/16"}, "watchkeeper:cidr: '10.0.0.1/16' is not allowed"),
        ({"cidr": "10.0.0.0/28"}, "watchkeeper:cidr: '10.0.0.0/28' is not allowed"),
        ({"memoryMb": {"clena": 512}}, "watchkeeper:memoryMb: 'clena' is not allowed; a function: ingest, clean"),
        ({"memoryMb": {"clean": 64}}, "watchkeeper:memoryMb: '{\"clean\": 64}' is not allowed; a map from names to a"),
        ({"versions": "clean=4"}, "watchkeeper:versions: 'clean=4' is not allowed; a map from names to a whole number"),
        ({"alertEmails": {"fatal": []}}, "watchkeeper:alertEmails: 'fatal' is not allowed; by info, warning, critical"),
        ({"alertEmails": {"info": ["ops"]}}, "watchkeeper:alertEmails: 'ops' is not allowed; mail addresses"),
        ({"issuer": "https://id.example.com"}, "watchkeeper:audience: '' is not allowed; an audience where an issuer"),
        ({"issuer": "id.example.com", "audience": "x"}, "watchkeeper:issuer: 'id.example.com' is not allowed; an"),
        ({"model": "bedrock"}, "watchkeeper:modelName: '' is not allowed; the name of a model of bedrock"),
        ({"model": "openai", "modelName": "m"}, "watchkeeper:modelKey: missing"),
        ({"model": "openai", "modelName": "m"}, "watchkeeper:nat: 'none' is not allowed; one or per-zone where model"),
        ({"budget": "-1"}, "watchkeeper:budget: '-1' is not allowed; US dollars a month, 0 for no budget"),
        ({"receivers": ["slack=https://x"]}, "watchkeeper:receivers: given in plain text; `pulumi config set --secret"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_key_and_what_is_allowed(keys, said):
    with pytest.raises(StackConfigError) as caught:
        config(**keys)
    assert any(problem.startswith(said) for problem in caught.value.problems), str(caught.value)


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(StackConfigError) as caught:
        read_config(Given("My Stack", {"watchkeeper:cloud": "aws", "watchkeeper:zones": "9", "watchkeeper:nat": "x"}))
    wanted = ["the stack's name", "aws:region", "watchkeeper:zones", "watchkeeper:nat", "watchkeeper:costCentre"]
    assert [problem.rpartition(": ")[0].partition(": ")[0] for problem in caught.value.problems] == wanted


def test_a_secret_is_never_repeated_in_an_error():
    with pytest.raises(StackConfigError) as caught:
        config(secret=["receivers"], receivers="https://hooks.example.com/T0K3N")
    assert "T0K3N" not in str(caught.value)
    with pytest.raises(StackConfigError) as caught:
        config(secret=["receivers"], receivers=["slack=https://hooks.example.com/T0K3N"])
    assert str(caught.value).startswith("watchkeeper:nat: 'none' is not allowed; one or per-zone where receivers")


def test_secrets_and_maps_are_read():
    found = config(
        secret=["receivers"], nat="one", receivers=["slack=https://x"], versions={"clean": 4}, memoryMb={"store": 512}
    )
    assert (found.receivers, found.versions, found.memory_mb) == (("slack=https://x",), {"clean": 4}, {"store": 512})


@given(
    st.dictionaries(st.sampled_from([f.encode_name for f in msgspec.structs.fields(AwsConfig)]), st.text(max_size=9))
)
def test_whatever_is_given_it_is_read_or_refused_by_name(values):
    keys = LEAST | {f"watchkeeper:{key}": value for key, value in values.items()}
    try:
        problems = ()
        assert isinstance(read_config(Given("aws", keys)), AwsConfig)
    except StackConfigError as error:
        problems = error.problems
    assert [problem for problem in problems if not problem.startswith("watchkeeper:")] == []


def test_every_stage_is_a_function_but_the_watch_and_the_api_takes_the_requests_of_all():
    assert {*FUNCTIONS, *NO_FUNCTION} == {stage.name for stage in PIPELINE}
    assert [stage.name for stage in FUNCTIONS["api"].stages] == ["ingest", "api"]
    assert {topic.name for topic in FUNCTIONS["api"].emits} == {"iot-data-ingestion", "batch-data-ingestion"}
    assert FUNCTIONS["api"].topics == ()


def test_whoever_takes_a_topic_is_upgraded_before_those_who_write_to_it():
    order = [function.name for function in consumers_first(FUNCTIONS.values())]
    for function in FUNCTIONS.values():
        for other in FUNCTIONS.values():
            if set(function.emits) & set(other.topics):
                assert order.index(other.name) < order.index(function.name)


def test_every_handler_and_name_that_a_function_is_deployed_with_is_there():
    package = pytest.importorskip("watchkeeper_aws", reason="the functions' own code is not in this checkout")
    folder = Path(package.__file__).parent / "handlers"
    assert [f.handler for f in FUNCTIONS.values() if not (folder / f"{f.name}.py").exists()] == []


def test_pulumi_runs_the_program_in_the_environment_that_make_makes():
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text("utf-8"))
    assert (project["name"], project["main"]) == ("watchkeeper", "infra/")
    assert (ROOT / project["main"] / "__main__.py").exists()
    environment = project["runtime"]["options"]["virtualenv"]
    assert f"INFRA := {environment}\n" in (ROOT / "Makefile").read_text("utf-8")
    assert f"/{environment}/\n" in (ROOT / ".gitignore").read_text("utf-8")
