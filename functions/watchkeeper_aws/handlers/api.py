"""Lambda's way into `api`: requests, and sockets."""

from watchkeeper_aws.function import StageFunction

handler = StageFunction("api")
