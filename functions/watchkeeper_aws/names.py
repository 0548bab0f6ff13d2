"""Names that the functions and what deploys them must agree on."""

CONNECTIONS = "connections"  # table: who listens by WebSocket, with a time to live
API_KEYS = "api-keys"  # table: digests of the keys of machines
GIVEN_UP = "aws/lambda/"  # folder of the bucket: invocations that Lambda has given up; it chooses the name
METRICS = "Watchkeeper"  # the namespace of metrics
