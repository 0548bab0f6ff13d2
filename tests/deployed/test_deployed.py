"""Deployed, as far as a machine can: the program's own graph on emulated AWS, from a device's message to an alert.

The emulator holds every call to the rights of who makes it (`AUTH`): a role that lacks one fails here.
"""

import time

import pytest

from tests.deployed.appliers import APPLIERS
from tests.deployed.applying import NOT_APPLIED
from tests.deployed.bridge import StuckError
from watchkeeper.topology import DEVICE_TELEMETRY
from watchkeeper_infra.canary import DEVICE as CANARY

pytestmark = [pytest.mark.slow, pytest.mark.emulated, pytest.mark.timeout(400)]  # ten functions start, one by one


def shaking(now_ms):
    """Half a minute of a pump that shakes more than it may."""
    return [{"ts": now_ms - 30_000 + 1000 * step, "values": {"vibration": 9.4, "flow": 118.0}} for step in range(30)]


def test_a_devices_alert_arrives_with_who_subscribes_to_its_severity_and_the_api_takes_readings(deploy):
    world = deploy()
    assert (world.applied.kinds, world.applied.left) == (set(APPLIERS), set(NOT_APPLIED))
    heard = {severity: world.listen(severity) for severity in ("critical", "warning")}

    world.publish("pump-07", shaking(time.time_ns() // 1_000_000))
    assert world.carry_over() == 30
    world.run()

    (alert,) = heard["critical"]()
    assert (alert["device"], alert["detector"]) == ("pump-07", "rule:pump.vibration-dangerous")
    assert {episode["detector"] for episode in heard["warning"]()} <= {"rule:pump.vibration-raised"}

    world.make_key("line-3", "s3cret-of-line-3")
    reading = {"device": "pump-08", "values": {"flow": 102.6}}
    assert world.request("POST", "/ingest/realtime", reading)[0] == 401
    assert world.request("POST", "/ingest/realtime", reading, X_API_Key="somebody-else")[0] == 403
    status, said = world.request("POST", "/ingest/realtime", reading, X_API_Key="s3cret-of-line-3")
    assert (status, said["accepted"]) == (202, 1)
    world.run()
    stored = {device["sk"]["S"] for device in world.rows("devices")} - {CANARY}  # which its schedule has sent, perhaps
    assert stored == {"pump-07", "pump-08"}

    assert world.tick("notify") == {"ticked": 1, "waiting": 0}


def test_a_graph_with_faults_does_not_work_and_says_where(deploy):
    def plant(made):
        """A table is missing, and one function is told a name wrongly."""
        resources = made["resources"]
        resources.remove(next(r for r in resources if r["type"].endswith(":Table") and r["name"].endswith("-requests")))
        ingest = next(
            r for r in resources if r["type"].endswith("/function:Function") and r["name"].endswith("-ingest")
        )
        told = ingest["object"]["environment"]["variables"]
        told["WATCHKEEPER_BUKET"] = told.pop("WATCHKEEPER_BUCKET")

    world = deploy(plant)
    world.send(DEVICE_TELEMETRY.name, "pump-07", shaking(time.time_ns() // 1_000_000))
    with pytest.raises(StuckError, match=r"-ingest: .*WATCHKEEPER_BUCKET is not set"):
        world.run()
    world.make_key("line-3", "s3cret-of-line-3")
    reading = {"device": "pump-08", "values": {"flow": 102.6}}
    headers = {"X_API_Key": "s3cret-of-line-3", "Idempotency_Key": "once"}  # what a key came with is noted in the table
    status, said = world.request("POST", "/ingest/realtime", reading, **headers)
    assert (status, '"code":"unavailable"' in said) == (503, True)
