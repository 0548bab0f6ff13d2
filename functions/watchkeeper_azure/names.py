"""Names that the functions and what deploys them must agree on."""

API_KEYS = "api-keys"  # table: digests of the keys of machines
METER = "meter"  # table: amounts by day and stage
PARTITION, SORT = "pk", "sk"  # what rows are found by; nothing else needs an index
INBOX = "inbox/"  # folder of the container of blobs: files for ingest
SHARD = "shard"  # application property of an event: which shard it belongs to
HUB_OF_LISTENERS = "watchkeeper"  # hub of Web PubSub, in which each tenant has a group
FORECASTED = "-forecasted"  # end of the name of the budget that looks ahead
