"""Lambda's way into `ingest`."""

from watchkeeper_aws.function import StageFunction

handler = StageFunction("ingest")
