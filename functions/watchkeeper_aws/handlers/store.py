"""Lambda's way into `store`."""

from watchkeeper_aws.function import StageFunction

handler = StageFunction("store")
