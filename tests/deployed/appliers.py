"""How each type of resource is applied, by the service's own API: inputs of Pulumi in, what the service answers out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka.admin import AdminClient, NewTopic

from tests.emulators.aws import REGION

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.deployed.applying import Applied
    from tests.infra.graph import Resource

Told = dict[str, str] | None
INSTEAD = {"WATCHKEEPER_KAFKA_LOGIN": "none"}
"""What functions are told otherwise than the graph says: the Kafka here knows neither TLS nor logins."""


def _upper(value: Any) -> Any:
    """Keys as most of AWS's services write them, at every depth."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: _upper(item) for key, item in value.items()}
    return [_upper(item) for item in value] if isinstance(value, list) else value


def _key(to: Applied, r: Resource) -> Told:
    made = to.client("kms").create_key(Description=r["description"], Policy=r["policy"])["KeyMetadata"]
    return {"id": made["KeyId"], "keyId": made["KeyId"], "arn": made["Arn"]}


def _key_alias(to: Applied, r: Resource) -> Told:
    return to.client("kms").create_alias(AliasName=r["name"], TargetKeyId=r["targetKeyId"]) and None


def _table(to: Applied, r: Resource) -> Told:
    dynamodb, name = to.client("dynamodb"), r["name"]
    keys = {"HASH": r["hashKey"], "RANGE": r["rangeKey"]}
    made = dynamodb.create_table(
        TableName=name,
        BillingMode=r["billingMode"],
        AttributeDefinitions=[{"AttributeName": a["name"], "AttributeType": a["type"]} for a in r["attributes"]],
        KeySchema=[{"AttributeName": key, "KeyType": kind} for kind, key in keys.items()],
        SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": r["serverSideEncryption"]["kmsKeyArn"]},
        DeletionProtectionEnabled=r["deletionProtectionEnabled"],
    )
    ttl = {"Enabled": r["ttl"]["enabled"], "AttributeName": r["ttl"]["attributeName"]}
    dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=ttl)
    recovery = {"PointInTimeRecoveryEnabled": r["pointInTimeRecovery"]["enabled"]}
    dynamodb.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=recovery)
    return {"arn": made["TableDescription"]["TableArn"]}


def _bucket(to: Applied, r: Resource) -> Told:
    name = r.made["answered"]["bucket"]
    to.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return {"bucket": name, "arn": f"arn:aws:s3:::{name}"}


def _bucket_access(to: Applied, r: Resource) -> Told:
    settings = {key: r[key] for key in r.inputs if key != "bucket"}
    to.client("s3").put_public_access_block(Bucket=r["bucket"], PublicAccessBlockConfiguration=_upper(settings))
    return None


def _bucket_owner(to: Applied, r: Resource) -> Told:
    controls = {"Rules": [_upper(r["rule"])]}
    to.client("s3").put_bucket_ownership_controls(Bucket=r["bucket"], OwnershipControls=controls)
    return None


def _bucket_encryption(to: Applied, r: Resource) -> Told:
    (rule,) = r["rules"]
    by = rule["applyServerSideEncryptionByDefault"]
    default = {"SSEAlgorithm": by["sseAlgorithm"], "KMSMasterKeyID": by["kmsMasterKeyId"]}
    rules = [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": rule["bucketKeyEnabled"]}]
    configuration = {"Rules": rules}
    to.client("s3").put_bucket_encryption(Bucket=r["bucket"], ServerSideEncryptionConfiguration=configuration)
    return None


def _object(to: Applied, r: Resource) -> Told:
    body = Path(r["source"]["path"]).read_bytes() if "source" in r.inputs else r["content"].encode()
    to.client("s3").put_object(Bucket=r["bucket"], Key=r["key"], Body=body)
    return None


def _notification(to: Applied, r: Resource) -> Told:
    calls = [
        {
            "Id": call["id"],
            "LambdaFunctionArn": call["lambdaFunctionArn"],
            "Events": call["events"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": call["filterPrefix"]}]}},
        }
        for call in r["lambdaFunctions"]
    ]
    configuration = {"LambdaFunctionConfigurations": calls}
    to.client("s3").put_bucket_notification_configuration(Bucket=r["bucket"], NotificationConfiguration=configuration)
    return None


def _role(to: Applied, r: Resource) -> Told:
    made = to.client("iam").create_role(RoleName=r["name"], AssumeRolePolicyDocument=r["assumeRolePolicy"])["Role"]
    return {"arn": made["Arn"]}


def _role_policy(to: Applied, r: Resource) -> Told:
    name = r.get("name") or r.name
    to.client("iam").put_role_policy(RoleName=r["role"], PolicyName=name, PolicyDocument=r["policy"])
    return None


def _attachment(to: Applied, r: Resource) -> Told:
    to.client("iam").attach_role_policy(RoleName=r["role"], PolicyArn=r["policyArn"])
    return None


def _topic(to: Applied, r: Resource) -> Told:
    return {"arn": to.client("sns").create_topic(Name=r["name"])["TopicArn"]}


def _subscription(to: Applied, r: Resource) -> Told:
    to.client("sns").subscribe(TopicArn=r["topic"], Protocol=r["protocol"], Endpoint=r["endpoint"])
    return None


def _secret(to: Applied, r: Resource) -> Told:
    name = r.made["answered"]["name"] if "namePrefix" in r.inputs else r["name"]
    made = to.client("secretsmanager").create_secret(Name=name, KmsKeyId=r["kmsKeyId"])
    return {"arn": made["ARN"], "id": made["ARN"]}


def _secret_version(to: Applied, r: Resource) -> Told:
    to.client("secretsmanager").put_secret_value(SecretId=r["secretId"], SecretString=r["secretString"])
    return None


def _logs(to: Applied, r: Resource) -> Told:
    logs = to.client("logs")
    logs.create_log_group(logGroupName=r["name"])
    logs.put_retention_policy(logGroupName=r["name"], retentionInDays=r["retentionInDays"])
    return None


def _layer(to: Applied, r: Resource) -> Told:
    made = to.client("lambda").publish_layer_version(
        LayerName=r["layerName"],
        Content={"S3Bucket": r["s3Bucket"], "S3Key": r["s3Key"]},
        CompatibleRuntimes=r["compatibleRuntimes"],
    )
    return {"arn": made["LayerVersionArn"]}


def _function(to: Applied, r: Resource) -> Told:
    told = r["environment"]["variables"] | {"PYTHONPATH": to.packages}
    if "WATCHKEEPER_KAFKA_LOGIN" in told:
        told |= INSTEAD
    made = to.client("lambda").create_function(
        FunctionName=r["name"],
        Role=r["role"],
        Runtime=r["runtime"],
        Handler=r["handler"],
        Code={"S3Bucket": r["s3Bucket"], "S3Key": r["s3Key"]},
        Layers=r["layers"],
        Timeout=r["timeout"],
        MemorySize=r["memorySize"],
        Architectures=r["architectures"],
        Environment={"Variables": told},
        KMSKeyArn=r["kmsKeyArn"],
        TracingConfig=_upper(r["tracingConfig"]),
        Publish=r["publish"],
    )
    to.versions[r["name"]] = made["Version"]
    return {"arn": made["FunctionArn"].removesuffix(f":{made['Version']}")}


def _alias(to: Applied, r: Resource) -> Told:
    name, version = r["functionName"], to.versions[r["functionName"]]
    made = to.client("lambda").create_alias(FunctionName=name, Name=r["name"], FunctionVersion=version)
    return {"arn": made["AliasArn"]}


def _permission(to: Applied, r: Resource) -> Told:
    account = {"SourceAccount": r["sourceAccount"]} if r.get("sourceAccount") else {}
    to.client("lambda").add_permission(
        FunctionName=r["function"],
        Qualifier=r["qualifier"],
        StatementId=r.name,
        Action=r["action"],
        Principal=r["principal"],
        SourceArn=r["sourceArn"],
        **account,
    )
    return None


def _invoke_config(to: Applied, r: Resource) -> Told:
    to.client("lambda").put_function_event_invoke_config(
        FunctionName=r["functionName"],
        Qualifier=r["qualifier"],
        MaximumRetryAttempts=r["maximumRetryAttempts"],
        MaximumEventAgeInSeconds=r["maximumEventAgeInSeconds"],
    )
    return None


def _invocation(to: Applied, r: Resource) -> Told:
    answer = to.client("lambda").invoke(FunctionName=r["functionName"], Qualifier=r["qualifier"], Payload=r["input"])
    assert "FunctionError" not in answer, answer["Payload"].read().decode()[:2000]
    return None


def _schedule(to: Applied, r: Resource) -> Told:
    to.client("scheduler").create_schedule(
        Name=r["name"],
        ScheduleExpression=r["scheduleExpression"],
        FlexibleTimeWindow=_upper(r["flexibleTimeWindow"]),
        Target=_upper(r["target"]),
    )
    return None


def _api(to: Applied, r: Resource) -> Told:
    selection = r.get("routeSelectionExpression")
    more = {"RouteSelectionExpression": selection} if selection else {}
    made = to.client("apigatewayv2").create_api(Name=r["name"], ProtocolType=r["protocolType"], **more)
    account = to.client("sts").get_caller_identity()["Account"]
    arn = f"arn:aws:execute-api:{REGION}:{account}:{made['ApiId']}"
    return {"id": made["ApiId"], "executionArn": arn}


def _authorizer(to: Applied, r: Resource) -> Told:
    names = {
        "authorizerUri": "AuthorizerUri",
        "authorizerPayloadFormatVersion": "AuthorizerPayloadFormatVersion",
        "authorizerResultTtlInSeconds": "AuthorizerResultTtlInSeconds",
        "enableSimpleResponses": "EnableSimpleResponses",
    }
    more = {names[key]: r[key] for key in names if key in r.inputs}
    if "jwtConfiguration" in r.inputs:
        jwt = r["jwtConfiguration"]
        more["JwtConfiguration"] = {"Issuer": jwt["issuer"], "Audience": jwt["audiences"]}
    made = to.client("apigatewayv2").create_authorizer(
        ApiId=r["apiId"],
        Name=r["name"],
        AuthorizerType=r["authorizerType"],
        IdentitySource=r["identitySources"],
        **more,
    )
    return {"id": made["AuthorizerId"]}


def _integration(to: Applied, r: Resource) -> Told:
    version = {"PayloadFormatVersion": r["payloadFormatVersion"]} if "payloadFormatVersion" in r.inputs else {}
    made = to.client("apigatewayv2").create_integration(
        ApiId=r["apiId"],
        IntegrationType=r["integrationType"],
        IntegrationMethod=r["integrationMethod"],
        IntegrationUri=r["integrationUri"],
        **version,
    )
    return {"id": made["IntegrationId"]}


def _route(to: Applied, r: Resource) -> Told:
    authorizer = {"AuthorizerId": r["authorizerId"]} if r.get("authorizerId") else {}
    to.client("apigatewayv2").create_route(
        ApiId=r["apiId"],
        RouteKey=r["routeKey"],
        Target=r["target"],
        AuthorizationType=r["authorizationType"],
        **authorizer,
    )
    return None


def _stage(to: Applied, r: Resource) -> Told:
    to.client("apigatewayv2").create_stage(ApiId=r["apiId"], StageName=r["name"], AutoDeploy=r["autoDeploy"])
    return None


def _thing_type(to: Applied, r: Resource) -> Told:
    properties = r["properties"]
    to.client("iot").create_thing_type(
        thingTypeName=r["name"],
        thingTypeProperties={
            "thingTypeDescription": properties["description"],
            "searchableAttributes": properties["searchableAttributes"],
        },
    )
    return None


def _device_policy(to: Applied, r: Resource) -> Told:
    to.client("iot").create_policy(policyName=r["name"], policyDocument=r["policy"])
    return None


def _template(to: Applied, r: Resource) -> Told:
    to.client("iot").create_provisioning_template(
        templateName=r["name"],
        templateBody=r["templateBody"],
        enabled=r["enabled"],
        provisioningRoleArn=r["provisioningRoleArn"],
    )
    return None


def _rule(to: Applied, r: Resource) -> Told:
    """The rule as it is, but for its action: the emulator has none for Kafka, so that it goes by way of a queue.

    What the action takes of a message beside its body (key and headers) is selected along with it.
    """
    (action,) = r["kafkas"]
    wanted = {"key": action["key"]} | {header["key"]: header["value"] for header in action["headers"]}
    extra = ", ".join(f"{value[2:-1]} AS hub_{name}" for name, value in wanted.items())
    sqs = to.client("sqs")
    queue = sqs.create_queue(QueueName=r["name"])["QueueUrl"]
    to.client("iot").create_topic_rule(
        ruleName=r["name"],
        topicRulePayload={
            "sql": r["sql"].replace("SELECT *", f"SELECT *, {extra}"),
            "awsIotSqlVersion": r["sqlVersion"],
            "ruleDisabled": not r["enabled"],
            "actions": [{"sqs": {"queueUrl": queue, "roleArn": r["errorAction"]["s3"]["roleArn"], "useBase64": False}}],
        },
    )
    r.inputs["queue"] = queue
    return None


def _stream_topic(to: Applied, r: Resource) -> Told:
    """On the other Kafka."""
    admin = AdminClient({"bootstrap.servers": to.kafka.address})
    (made,) = admin.create_topics([NewTopic(r["name"], r["partitionCount"], 1)]).values()
    made.result(10)
    return None


APPLIERS: dict[str, Callable[[Applied, Resource], Told]] = {
    "apigatewayv2:Api": _api,
    "apigatewayv2:Authorizer": _authorizer,
    "apigatewayv2:Integration": _integration,
    "apigatewayv2:Route": _route,
    "apigatewayv2:Stage": _stage,
    "cloudwatch:LogGroup": _logs,
    "dynamodb:Table": _table,
    "iam:Role": _role,
    "iam:RolePolicy": _role_policy,
    "iam:RolePolicyAttachment": _attachment,
    "iot:Policy": _device_policy,
    "iot:ProvisioningTemplate": _template,
    "iot:ThingType": _thing_type,
    "iot:TopicRule": _rule,
    "kms:Alias": _key_alias,
    "kms:Key": _key,
    "lambda:Alias": _alias,
    "lambda:Function": _function,
    "lambda:FunctionEventInvokeConfig": _invoke_config,
    "lambda:Invocation": _invocation,
    "lambda:LayerVersion": _layer,
    "lambda:Permission": _permission,
    "msk:Topic": _stream_topic,
    "s3:Bucket": _bucket,
    "s3:BucketNotification": _notification,
    "s3:BucketObject": _object,
    "s3:BucketOwnershipControls": _bucket_owner,
    "s3:BucketPublicAccessBlock": _bucket_access,
    "s3:BucketServerSideEncryptionConfiguration": _bucket_encryption,
    "scheduler:Schedule": _schedule,
    "secretsmanager:Secret": _secret,
    "secretsmanager:SecretVersion": _secret_version,
    "sns:Topic": _topic,
    "sns:TopicSubscription": _subscription,
}
