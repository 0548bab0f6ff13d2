"""The two services that Pulumi's engine offers to a program, as far as a program can tell the difference.

It records every registration, answers with the inputs and what the cloud would add, refuses a name that comes twice,
and in a preview knows nothing that is known only after the fact.
"""

import itertools
import re
from concurrent import futures

import azure_cloud
import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
)

ACCOUNT, REGION = "123456789012", "eu-central-1"
UUID = "00000000-0000-4000-8000-{:012d}"
FEATURES = ("secrets", "resourceReferences", "outputValues", "aliasSpecs")
SECRET = "4dabf18193072939515e22adb298388d"

ARNS = {
    "aws:cloudwatch/logGroup:LogGroup": "logs:{r}:{a}:log-group:{name}",
    "aws:dynamodb/table:Table": "dynamodb:{r}:{a}:table/{name}",
    "aws:iam/role:Role": "iam::{a}:role/{name}",
    "aws:kms/key:Key": "kms:{r}:{a}:key/{uuid}",
    "aws:lambda/alias:Alias": "lambda:{r}:{a}:function:{functionName}:{name}",
    "aws:lambda/eventSourceMapping:EventSourceMapping": "lambda:{r}:{a}:event-source-mapping:{uuid}",
    "aws:lambda/function:Function": "lambda:{r}:{a}:function:{name}",
    "aws:msk/cluster:Cluster": "kafka:{r}:{a}:cluster/{clusterName}/{uuid}-3",
    "aws:s3/bucket:Bucket": "s3:::{bucket}",
    "aws:secretsmanager/secret:Secret": "secretsmanager:{r}:{a}:secret:{namePrefix}a1b2c3",
    "aws:sns/topic:Topic": "sns:{r}:{a}:{name}",
}
ADDED = {
    "aws:amplify/app:App": {"defaultDomain": "d1.amplifyapp.com"},
    "aws:apigatewayv2/api:Api": {
        "apiEndpoint": "https://{id}.execute-api.{r}.amazonaws.com",
        "executionArn": "arn:aws:execute-api:{r}:{a}:{id}",
    },
    "aws:apigatewayv2/stage:Stage": {"invokeUrl": "wss://x.execute-api.{r}.amazonaws.com/{name}"},
    "aws:cognito/userPool:UserPool": {"endpoint": "cognito-idp.{r}.amazonaws.com/{id}"},
    "aws:lambda/alias:Alias": {"invokeArn": "arn:aws:apigateway:{r}:lambda:path/functions/{arn}/invocations"},
    "aws:lambda/eventSourceMapping:EventSourceMapping": {"uuid": "{uuid}"},
    "aws:lambda/function:Function": {"version": "7"},
    "aws:msk/cluster:Cluster": {"bootstrapBrokersSaslIam": "b-1:9098", "bootstrapBrokersSaslScram": "b-1:9096"},
    "aws:msk/configuration:Configuration": {"latestRevision": 1},
    "aws:secretsmanager/secret:Secret": {"name": "{namePrefix}a1b2c3"},
}
ANSWERS = {
    "aws:index/getAvailabilityZones:getAvailabilityZones": {"names": [f"{REGION}{zone}" for zone in "abc"]},
    "aws:index/getCallerIdentity:getCallerIdentity": {"accountId": ACCOUNT},
    "aws:iot/getEndpoint:getEndpoint": {"endpointAddress": f"x-ats.iot.{REGION}.amazonaws.com"},
    "aws:secretsmanager/getRandomPassword:getRandomPassword": {"randomPassword": "not-so-random"},
    **azure_cloud.ANSWERS,
}


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Registrations, in their order."""

    def __init__(self, stack, preview):
        self.stack, self.preview = stack, preview
        self.resources, self.outputs, self.invoked, self.urns = [], {}, [], set()
        self.numbers = itertools.count(1)

    def SupportsFeature(self, request, context):  # noqa: N802 - the protocol's own name
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in FEATURES)

    def RegisterPackage(self, request, context):  # noqa: N802 - as above
        return resource_pb2.RegisterPackageResponse(ref="package")

    def SignalAndWaitForShutdown(self, request, context):  # noqa: N802 - as above
        return empty_pb2.Empty()

    def Invoke(self, request, context):  # noqa: N802 - as above
        self.invoked.append(request.tok)
        if request.tok not in ANSWERS:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"nobody answers {request.tok}")
        answer = struct_pb2.Struct()
        answer.update({"id": "x", **ANSWERS[request.tok]})
        return resource_pb2.ResourceInvokeResponse(**{"return": answer})

    def RegisterResource(self, request, context):  # noqa: N802 - as above
        above = (
            request.parent.split("::")[2] + "$"
            if request.parent and "pulumi:pulumi:Stack" not in request.parent
            else ""
        )
        urn = f"urn:pulumi:{self.stack}::watchkeeper::{above}{request.type}::{request.name}"
        if urn in self.urns:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"duplicate resource URN {urn}")
        self.urns.add(urn)
        made = json_format.MessageToDict(request) | {"urn": urn}
        self.resources.append(made)
        answer = struct_pb2.Struct()
        if not request.custom:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        number = next(self.numbers)
        inputs = json_format.MessageToDict(request.object)
        answer.update(azure_cloud.answered(inputs))
        identity = ""
        if not self.preview:
            if request.type.startswith("azure-native:"):
                identity = azure_cloud.identity(request.type, inputs)
                added = azure_cloud.added(request.type, inputs, UUID.format(number))
            else:
                identity = f"{_slug(request.name)}-{number}"
                added = _added(request, inputs, number)
            answer.update(added)
            made["answered"] = added | {"id": identity}
        return resource_pb2.RegisterResourceResponse(urn=urn, id=identity, object=answer)

    def RegisterResourceOutputs(self, request, context):  # noqa: N802 - as above
        self.outputs[request.urn] = json_format.MessageToDict(request.outputs)
        return empty_pb2.Empty()


class Engine(engine_pb2_grpc.EngineServicer):
    """What the program logs, and which resource is the root."""

    def __init__(self):
        self.logs, self.root = [], ""

    def Log(self, request, context):  # noqa: N802 - as above
        self.logs.append([request.severity, request.message])
        return empty_pb2.Empty()

    def SetRootResource(self, request, context):  # noqa: N802 - as above
        self.root = request.urn
        return engine_pb2.SetRootResourceResponse()

    def GetRootResource(self, request, context):  # noqa: N802 - as above
        return engine_pb2.GetRootResourceResponse(urn=self.root)


def serve(monitor, engine):
    """Serve both on a free port of this machine; answers the server and its address."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
    engine_pb2_grpc.add_EngineServicer_to_server(engine, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def _added(request, inputs, number):
    """What a cloud adds to the inputs: names that were left to it, ARNs, addresses."""
    plain = {key: value for key, value in inputs.items() if isinstance(value, str)}
    words = {"r": REGION, "a": ACCOUNT, "uuid": UUID.format(number), "id": f"{_slug(request.name)}-{number}"}
    words |= {"name": f"{_slug(request.name)}-{number}", "bucket": f"{_slug(request.name)}-{number}"} | plain
    added = {"name": words["name"]} | ({"bucket": words["bucket"]} if request.type.endswith(":Bucket") else {})
    kind, _, name = request.type.rpartition(":")
    service = kind.split(":")[1].partition("/")[0] if ":" in kind else "x"
    arn = "arn:aws:" + ARNS.get(request.type, service + ":{r}:{a}:" + name.lower() + "/{name}").format(**words)
    added |= {"arn": arn, "keyId": words["uuid"]}
    for key, value in ADDED.get(request.type, {}).items():
        added[key] = value.format(**words | {"arn": arn}) if isinstance(value, str) else value
    return {key: value for key, value in added.items() if key not in inputs or key == "arn"}


def _slug(name):
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
