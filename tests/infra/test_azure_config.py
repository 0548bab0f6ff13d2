"""A stack on Azure: what is right is read, what is wrong is named with its value and what is allowed."""

import json

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.docs.pages import ROOT
from watchkeeper.cost.azure_stack import LARGE, SMALL
from watchkeeper_infra.azure_config import HELP, SECRETS, AzureConfig
from watchkeeper_infra.config import Given, read_config
from watchkeeper_infra.errors import StackConfigError

LEAST = {"azure-native:location": "westeurope", "watchkeeper:cloud": "azure", "watchkeeper:costCentre": "iot"}

ACCOUNT = (
    "/subscriptions/10000000-0000-4000-8000-000000000000/resourceGroups/models"
    "/providers/Microsoft.CognitiveServices/accounts/m"
)
KEYLESS = {
    "model": "azure", "modelName": "m", "modelUrl": "https://m.openai.azure.com/openai/v1", "modelAccount": ACCOUNT,
}  # fmt: skip


def config(secret=(), **keys):
    values = LEAST | {f"watchkeeper:{k}": v if isinstance(v, str) else json.dumps(v) for k, v in keys.items()}
    return read_config(Given("azure-dev", values, {f"watchkeeper:{key}" for key in secret}))


def test_the_example_is_right_and_holds_every_key_with_its_default():
    text = (ROOT / "Pulumi.azure.yaml").read_text("utf-8")
    keys = yaml.safe_load(text)["config"]
    values = {key: value if isinstance(value, str) else json.dumps(value) for key, value in keys.items()}
    assert read_config(Given("azure", values)) == config(costCentre="watchkeeper")
    for field in msgspec.structs.fields(AzureConfig):
        assert f"watchkeeper:{field.encode_name}:" in text
        assert (f"watchkeeper:{field.encode_name}" in values) == (field.name not in SECRETS)


def test_every_key_has_its_help_and_no_other_has():
    assert set(HELP) == {field.name for field in msgspec.structs.fields(AzureConfig)}


def test_an_estimate_takes_the_stack_for_what_the_configuration_makes_it():
    read = config()
    for field in msgspec.structs.fields(SMALL):
        assert getattr(SMALL, field.name) == getattr(read, field.name)
    names = dict(zip(AzureConfig.__struct_fields__, AzureConfig.__struct_encode_fields__, strict=True))
    assert config(**{names[n]: v for n, v in msgspec.structs.asdict(LARGE).items()}).partitions == LARGE.partitions


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"hubSize": "S4"}, "watchkeeper:hubSize: 'S4' is not allowed; S1, S2 or S3"),
        ({"hubSize": "S3", "hubUnits": "11"}, "watchkeeper:hubUnits: 11 is not allowed; at most 10 of S3"),
        ({"throughputUnits": "5"}, "watchkeeper:throughputUnitsAtMost: 4 is not allowed; at least the 5 units"),
        ({"partitions": "33", "shards": "64"}, "watchkeeper:partitions: '33' is not allowed; a whole number from 1"),
        ({"partitions": "9"}, "watchkeeper:partitions: 9 is not allowed; at most the 8 shards"),
        ({"partitons": "9"}, "watchkeeper:partitons: unknown key (did you mean partitions?)"),
        ({"retentionHours": "169"}, "watchkeeper:retentionHours: '169' is not allowed; a whole number from 1 to 168"),
        ({"memoryMb": {"clean": 1024}}, "watchkeeper:memoryMb: '{\"clean\": 1024}' is not allowed; a map from names"),
        ({"memoryMb": {"clena": 512}}, "watchkeeper:memoryMb: 'clena' is not allowed; a function: ingest, clean"),
        ({"alwaysReady": {"watch": 1}}, "watchkeeper:alwaysReady: 'watch' is not allowed; a function: ingest"),
        ({"alwaysReady": {"api": 3}, "instancesAtMost": "2"}, "watchkeeper:alwaysReady: 'api: 3' is not allowed; at"),
        ({"packages": {"clean": "latest"}}, 'watchkeeper:packages: \'{"clean": "latest"}\' is not allowed; a map'),
        ({"cosmosUnits": "1500"}, "watchkeeper:cosmosUnits: 1500 is not allowed; a multiple of 1000"),
        ({"backupDays": "14"}, "watchkeeper:backupDays: '14' is not allowed; 7 or 30"),
        (
            {"alertEmails": {"urgent": []}},
            "watchkeeper:alertEmails: 'urgent' is not allowed; by info, warning, critical, em",
        ),
        ({"alertEmails": {"operations": ["me"]}}, "watchkeeper:alertEmails: 'me' is not allowed; mail addresses"),
        ({"model": "azure", "modelName": "m"}, "watchkeeper:modelUrl: '' is not allowed; the endpoint of Azure OpenAI"),
        (
            {"model": "azure", "modelName": "m", "modelUrl": "https://m/openai/v1", "modelApiVersion": "2024-10-21"},
            "watchkeeper:modelUrl: 'https://m/openai/v1' is not allowed; the endpoint of Azure OpenAI",
        ),
        ({"model": "openai", "modelName": "m"}, "watchkeeper:modelKey: missing"),
        ({"model": "azure", "modelName": "m", "modelUrl": "https://m/openai/v1"}, "watchkeeper:modelKey: missing"),
        (
            {"modelAccount": ACCOUNT},
            f"watchkeeper:modelAccount: '{ACCOUNT}' is not allowed; nothing where the model is no",
        ),
        ({"modelAccount": "my-account"}, "watchkeeper:modelAccount: 'my-account' is not allowed; the id of an account"),
        (
            KEYLESS | {"modelUrl": "http://m/openai/v1"},
            "watchkeeper:modelUrl: 'http://m/openai/v1' is not allowed; an ht",
        ),
        ({"issuer": "https://id.example.com"}, "watchkeeper:audience: '' is not allowed; an audience where an issuer"),
        ({"webPubsubUnits": "2"}, "watchkeeper:webPubsubUnits: 2 is not allowed; 1 of Free_F1"),
        (
            {"webPubsub": "Standard_S1", "webPubsubUnits": "15"},
            "watchkeeper:webPubsubUnits: 15 is not allowed; 1 to 10, or 20, 30",
        ),
        ({"webPubsubUnits": "101"}, "watchkeeper:webPubsubUnits: '101' is not allowed; a whole number from 1 to 100"),
        ({"privateEndpoints": "true"}, "watchkeeper:webPubsub: 'Free_F1' is not allowed; Standard_S1 where private"),
        ({"cidr": "8.8.0.0/16"}, "watchkeeper:cidr: '8.8.0.0/16' is not allowed; a private network"),
        ({"canaryKey": "k"}, "watchkeeper:canaryKey: given in plain text; `pulumi config set --secret canaryKey`"),
        ({"zones": "2"}, "watchkeeper:zones: unknown key"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_is_allowed(keys, said):
    with pytest.raises(StackConfigError) as caught:
        config(**keys)
    assert any(problem.startswith(said) for problem in caught.value.problems), str(caught.value)


def test_a_model_is_asked_by_a_key_or_as_oneself_and_not_by_both():
    assert config(**KEYLESS).kept_secrets() == {}
    with pytest.raises(StackConfigError, match="watchkeeper:modelKey: not allowed together with modelAccount"):
        config(secret=["modelKey"], modelKey="sk-very-secret", **KEYLESS)


def test_a_region_is_asked_for_by_azures_own_key():
    with pytest.raises(StackConfigError, match="azure-native:location: missing; the name of a region, such as westeur"):
        read_config(Given("azure-dev", {"watchkeeper:cloud": "azure", "watchkeeper:costCentre": "iot"}))


@given(
    st.dictionaries(st.sampled_from([f.encode_name for f in msgspec.structs.fields(AzureConfig)]), st.text(max_size=9))
)
def test_whatever_is_given_it_is_read_or_refused_by_name(values):
    keys = LEAST | {f"watchkeeper:{key}": value for key, value in values.items() if key != "cloud"}
    try:
        problems = ()
        assert isinstance(read_config(Given("azure", keys)), AzureConfig)
    except StackConfigError as error:
        problems = error.problems
    assert [problem for problem in problems if not problem.startswith("watchkeeper:")] == []
