"""What AWS does between the resources and the emulator does not: from the hub's rule to the stream, and to functions.

Devices are clients of MQTT; requests go to the deployed HTTP API.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.emulators.aws import REGION
from tests.lambdas.events import from_msk
from watchkeeper.ports import Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.deployed.applying import Applied

HUB = f"x-ats.iot.{REGION}.amazonaws.com"
MOST = 1000  # messages in a batch


class StuckError(AssertionError):
    """A function fails, or gives a batch back; its text says which one and why."""


class Bridge:
    """A deployed stack that works: `applied` is what there is."""

    def __init__(self, applied: Applied) -> None:
        """The mappings are those of the graph, by the function's name in Lambda and topic."""
        self.applied = applied
        self._positions: dict[tuple[str, str, int], int] = {}
        self._consumer = Consumer(
            {"bootstrap.servers": applied.kafka.address, "group.id": "bridge", "enable.auto.commit": False}
        )
        self._producer = Producer({"bootstrap.servers": applied.kafka.address})

    def close(self) -> None:
        """Let go of all connections."""
        self._consumer.close()
        self.applied.close()

    def publish(self, device: str, payloads: list[dict[str, Any]]) -> None:
        """Publish as a device: MQTT 3.1.1 over a WebSocket, signed, QoS 1, its own name as client id."""
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=device, transport="websockets")
        path = _signed("/mqtt", HUB, "iotdevicegateway")
        client.ws_set_options(path=path, headers={"Host": HUB, "Sec-Websocket-Protocol": "mqtt"})
        client.connect("127.0.0.1", self.applied.aws.port)
        client.loop_start()
        try:
            for payload in payloads:
                sent = client.publish(f"devices/{device}/telemetry", json.dumps(payload), qos=1)
                sent.wait_for_publish(10)
                assert sent.is_published(), f"the hub does not acknowledge what {device} publishes"
        finally:
            client.disconnect()
            until = time.monotonic() + 5
            while client.socket() is not None and time.monotonic() < until:
                time.sleep(0.01)
            client.loop_stop()

    def carry_over(self) -> int:
        """What the rule has handed on goes to the topic that the graph's action names; answers how many."""
        (rule,) = self.applied.of("iot:TopicRule")
        (action,) = rule["kafkas"]
        sqs, carried = self.applied.client("sqs"), 0
        while found := sqs.receive_message(QueueUrl=rule["queue"], MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                body = json.loads(message["Body"])
                headers = {h["key"]: str(body.pop(f"hub_{h['key']}")) for h in action["headers"]}
                key = str(body.pop("hub_key"))
                self._producer.produce(action["topic"], json.dumps(body), key=key, headers=headers)
                sqs.delete_message(QueueUrl=rule["queue"], ReceiptHandle=message["ReceiptHandle"])
            carried += len(found)
        assert self._producer.flush(10) == 0
        return carried

    def send(self, topic: str, device: str, payloads: list[dict[str, Any]]) -> None:
        """Put messages of a device on a topic, as if they had come by the hub."""
        received = str(time.time_ns() // 1_000_000)
        for payload in payloads:
            headers = {"device": device, "received": received}
            self._producer.produce(topic, json.dumps(payload), key=device, headers=headers)
        assert self._producer.flush(10) == 0

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table, as DynamoDB has them."""
        name = self.applied.one("dynamodb:Table", table)["name"]
        return list(self.applied.client("dynamodb").scan(TableName=name)["Items"])

    def run(self) -> None:
        """Batches to functions, as the graph's mappings say, until nothing is left. StuckError: one is given back."""
        mappings = self.applied.of("lambda:EventSourceMapping")
        while True:
            taken = sum(self._poll(m["functionName"], topic) for m in mappings for topic in m["topics"])
            if not taken:
                return

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """An answer of a function, by its ARN or name. StuckError: it fails."""
        answer = self.applied.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        body = json.loads(answer["Payload"].read() or b"null")
        if "FunctionError" in answer:
            raise StuckError(f"{function.split(':')[-2]}: {json.dumps(body)[:2000]}")
        return body

    def tick(self, stage: str) -> Any:
        """What the scheduler does each minute: the deployed schedule's target, with its input."""
        schedule = self.applied.one("scheduler:Schedule", f"{stage}-timer")
        made = self.applied.client("scheduler").get_schedule(Name=schedule["name"])["Target"]
        return self.invoke(made["Arn"], json.loads(made["Input"]))

    def listen(self, severity: str) -> Callable[[], list[dict[str, Any]]]:
        """A queue that hears the topic of a severity; answers who takes the alerts out of it."""
        sqs, sns = self.applied.client("sqs"), self.applied.client("sns")
        topic = self.applied.real_arn("sns:Topic", f"alerts-{severity}")
        url = sqs.create_queue(QueueName=f"listener-{severity}")["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        may = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
        policy = {"Version": "2012-10-17", "Statement": [may | {"Resource": queue}]}
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)

        def heard() -> list[dict[str, Any]]:
            found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=2).get("Messages", [])
            return [json.loads(json.loads(message["Body"])["Message"]) for message in found]

        return heard

    def make_key(self, name: str, key: str) -> None:
        """A key of a machine, as docs/aws-infrastructure.md says."""
        table = self.applied.one("dynamodb:Table", "api-keys")["name"]
        digest = hashlib.sha256(key.encode()).hexdigest()
        item = {"pk": {"S": digest}, "sk": {"S": "-"}, "name": {"S": name}}
        self.applied.client("dynamodb").put_item(TableName=table, Item=item)

    def request(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Ask the deployed HTTP API."""
        api = self.applied.real[self.applied.one("apigatewayv2:Api", "http").made["answered"]["id"]]
        host = f"{api}.execute-api.localhost"
        data = None if body is None else json.dumps(body).encode()
        told = {"Host": host, "Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        request = urllib.request.Request(f"http://{self.applied.aws.address}{path}", data, told, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def _poll(self, function: str, topic: str) -> int:
        """A batch of every partition of a topic, as one event."""
        partitions = self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
        batches = {place: found for place in partitions if (found := self._read(function, topic, place))}
        if not batches:
            return 0
        failures = self.invoke(function, from_msk(topic, batches))["batchItemFailures"]
        if failures:
            raise StuckError(f"{function.split(':')[-2]} gives {json.dumps(failures)} back\n{self._said()}")
        for place, found in batches.items():
            self._positions[function, topic, place] = found[-1].offset + 1
        return sum(map(len, batches.values()))

    def _read(self, function: str, topic: str, place: int) -> list[Stored]:
        start = self._positions.get((function, topic, place), 0)
        _, end = self._consumer.get_watermark_offsets(TopicPartition(topic, place), timeout=10)
        if end <= start:
            return []
        self._consumer.assign([TopicPartition(topic, place, start)])
        found: list[Stored] = []
        until = time.monotonic() + 10
        while len(found) < min(end - start, MOST) and time.monotonic() < until:
            for message in self._consumer.consume(min(end - start, MOST) - len(found), timeout=0.5):
                headers = {name: value.decode() for name, value in message.headers() or []}
                found.append(Stored(message.offset(), 0, message.value(), headers))
        self._consumer.unassign()  # the broker answers at once that nothing is new, and is asked at once again
        return found

    def _said(self) -> str:
        """What functions have logged as errors."""
        logs, said = self.applied.client("logs"), []
        for group in logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]:
            events = logs.filter_log_events(logGroupName=group["logGroupName"]).get("events", [])
            said += [event["message"] for event in events if "ERROR" in event["message"]]
        return "\n".join(said)[-3000:]


def _signed(path: str, host: str, service: str) -> str:
    """A path with the query that lets a client in: SigV4, as IoT Core takes it for WebSockets."""
    request = AWSRequest("GET", f"wss://{host}{path}")
    signer = SigV4QueryAuth(
        Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]), service, REGION
    )
    signer.add_auth(request)
    return str(request.url).partition(host)[2]
