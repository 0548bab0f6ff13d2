"""What Azure adds to what is asked of it: ids that are paths, addresses, and answers to questions about itself."""

SUBSCRIPTION, TENANT, DEPLOYER = (f"{n}0000000-0000-4000-8000-000000000000" for n in (1, 2, 3))
ANSWERS = {
    "azure-native:authorization:getClientConfig": {
        "clientId": "c",
        "objectId": DEPLOYER,
        "subscriptionId": SUBSCRIPTION,
        "tenantId": TENANT,
    },
    "azure-native:iothub:listIotHubResourceKeysForKeyName": {"primaryKey": "hub-key-very-secret"},
    "azure-native:web:listStaticSiteSecrets": {"properties": {"apiKey": "site-token-very-secret"}},
    "azure-native:web:listWebAppHostKeys": {"functionKeys": {"default": "app-key-very-secret"}},
}
NAMES = (
    "eventSubscriptionName", "consumerGroupName", "eventHubName", "databaseName", "containerName", "secretName",
    "privateDnsZoneGroupName", "privateEndpointName", "virtualNetworkLinkName", "privateZoneName", "subnetName",
    "virtualNetworkName", "natGatewayName", "publicIpAddressName", "systemTopicName", "webTestName", "ruleName",
    "actionGroupName", "budgetName", "lockName", "roleAssignmentName", "roleAssignmentId", "provisioningServiceName",
    "vaultName", "workspaceName", "namespaceName", "accountName", "name", "resourceName", "resourceGroupName",
)  # fmt: skip
"""The inputs that may be a resource's own name; the first one that is there is."""
PATHS = {
    "EventHub": "Microsoft.EventHub/namespaces/{namespaceName}/eventhubs/{name}",
    "Namespace": "Microsoft.EventHub/namespaces/{name}",
    "BlobContainer": "Microsoft.Storage/storageAccounts/{accountName}/blobServices/default/containers/{name}",
    "StorageAccount": "Microsoft.Storage/storageAccounts/{name}",
    "DatabaseAccount": "Microsoft.DocumentDB/databaseAccounts/{name}",
    "Vault": "Microsoft.KeyVault/vaults/{name}",
    "WebApp": "Microsoft.Web/sites/{name}",
}


def name_of(inputs):
    """A resource's own name."""
    return next((inputs[key] for key in NAMES if isinstance(inputs.get(key), str)), "unnamed")


def identity(token, inputs):
    """A resource's id: the path by which Azure knows it."""
    _, module, kind = token.split(":")
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{inputs.get('resourceGroupName', 'none')}"
    if kind == "ResourceGroup":
        return group
    words = {key: value for key, value in inputs.items() if isinstance(value, str)} | {"name": name_of(inputs)}
    return f"{group}/providers/" + PATHS.get(kind, f"{module}/{kind}/{{name}}").format(**words)


def added(token, inputs, uuid):
    """What is known after the fact."""
    kind, name = token.rpartition(":")[2], name_of(inputs)
    of_kind = {
        "StorageAccount": {
            "primaryEndpoints": {s: f"https://{name}.{s}.core.windows.net/" for s in ("blob", "queue", "table")}
        },
        "DatabaseAccount": {"documentEndpoint": f"https://{name}.documents.azure.com:443/"},
        "Vault": {"properties": {**inputs.get("properties", {}), "vaultUri": f"https://{name}.vault.azure.net/"}},
        "WebApp": {"defaultHostName": f"{name}.azurewebsites.net"},
        "UserAssignedIdentity": {"principalId": uuid, "clientId": uuid.replace("-4", "-5", 1)},
        "WebPubSub": {"hostName": f"{name}.webpubsub.azure.com"},
        "StaticSite": {"defaultHostname": "calm-sea-1.azurestaticapps.net"},
        "Workspace": {"customerId": uuid},
        "Component": {"connectionString": f"InstrumentationKey={uuid}"},
        "IotDpsResource": {"properties": {**inputs.get("properties", {}), "idScope": "0ne00000000"}},
    }
    return {"name": name} | of_kind.get(kind, {})


def answered(inputs):
    """The inputs as Azure says them: identities are asked for as a list, and answered as a map."""
    who = inputs.get("identity")
    if not isinstance(who, dict) or not isinstance(who.get("userAssignedIdentities"), list):
        return inputs
    listed = [each for each in who["userAssignedIdentities"] if isinstance(each, str)]
    return inputs | {"identity": who | {"userAssignedIdentities": {each: {} for each in listed}}}
