"""What version 1 has stored must be readable for ever: read as it is, or migrated."""

import msgspec
import pytest

from tests.unit.core.golden_samples import FOLDER, VERSIONS, pack, records, states
from tests.unit.core.test_packs import plain
from watchkeeper.packs import Pack
from watchkeeper.pipeline import PIPELINE, STAGES
from watchkeeper.states import read_envelope
from watchkeeper.topology import RECORDS, TABLES


def golden(name):
    return (FOLDER / name).read_bytes()


@pytest.mark.parametrize("stage", [stage.name for stage in PIPELINE if stage.codec])
def test_a_state_is_read_as_it_was_meant(stage):
    codec = STAGES[stage].codec
    assert codec.encode(codec.decode(golden(f"state-{stage}-v{VERSIONS.get(stage, 1)}.bin"))) == codec.encode(
        states()[stage]
    )


@pytest.mark.parametrize("name", records())
def test_a_record_of_version_1_is_read_as_it_was_meant(name):
    record = records()[name]
    assert msgspec.json.decode(golden(f"record-{name}-v1.json"), type=type(record)) == record


def test_a_pack_of_version_1_is_read_as_it_was_meant():
    assert plain(Pack.decode(golden("record-pack-v1.json"))) == plain(pack())


def test_an_envelope_of_version_1_is_read_as_it_was_meant():
    assert read_envelope(golden("state-envelope-v1.bin"), "here") == ({"clean:t/3": (17, 2)}, b"body")


def test_there_is_a_golden_file_of_everything_that_is_stored_or_travels():
    kinds = {type(record) for record in records().values()} | {Pack}
    assert {table.record for table in TABLES.values()} | set(RECORDS.values()) <= kinds
    assert set(states()) == {stage.name for stage in PIPELINE if stage.codec}
