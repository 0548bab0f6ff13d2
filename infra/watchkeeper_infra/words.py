"""Names that several parts of a stack must agree on."""

OPERATIONS = "operations"  # where people are told what is wrong with Watchkeeper itself
ALIAS = "live"  # the alias that callers of a function call
NAMESPACE_OF_METRICS = "Watchkeeper"
PARTITION_KEY, SORT_KEY, EXPIRES = "pk", "sk", "ttl"  # the attributes of a table

METER, CONNECTIONS, TAKEN_LETTERS, API_KEYS = "meter", "connections", "taken-letters", "api-keys"
RUNTIME_TABLES = {
    METER: "what was used, by day and stage",
    CONNECTIONS: "who listens by WebSocket, with a time to live",
    TAKEN_LETTERS: "which dead letters operators have sent back or thrown away; no function's",
    API_KEYS: "digests of the keys of machines, never the keys",
}
"""Tables of the runtime, beside those that the pipeline's table names."""

HUB_OF_LISTENERS = "watchkeeper"  # in Web PubSub; the functions call it so

BILL_FUNCTION, BILL_ROUTE = "bill", "bill"  # what the budget's action group calls on Azure, in the app budget_cutoff
FILES_FUNCTION = "files"  # what Event Grid tells of new files on Azure, in the app ingest

RECEIVERS, MODEL = "receivers", "model"  # secrets
LEARNS = "retrain"  # the stage that learns detection models, and judges them

LAYOUT = "stack/layout.json"  # how devices are divided, for ever
LAYOUT_IN_VAULT = "layout"  # the same on Azure
INBOX, RULE_ERRORS, OVERSIZED, GIVEN_UP = "inbox/", "rule-errors/", "dead-letters/", "aws/lambda/"
"""Beginnings of keys in the bucket: files for ingest, what the IoT rule could not hand on, dead letters too large for a
message, and batches that were given up (Lambda chooses that name)."""

WILDCARDS = {
    "Network": "Lambda makes the interfaces of a function in a VPC; EC2 knows no narrower resource before they exist",
    "Tracing": "X-Ray's actions know no resources",
    "NotByCode": "a denial of what Network allows, for the function's own code",
    "FindBrokers": "MSK's GetBootstrapBrokers knows no resources",
    "FindMappings": "Lambda's ListEventSourceMappings knows no resources",
    "NeverStorage": "a denial, for the function that cuts off: it never takes apart what is stored",
    "MakeInterfaces": "as Network, for the interfaces of the IoT rule's way into the VPC",
}
"""The statements that may say `*` as their resource, and why."""
