"""Lambda's way into `notify`."""

from watchkeeper_aws.function import StageFunction

handler = StageFunction("notify")
