"""Lambda's way into `watch`."""

from watchkeeper_aws.function import StageFunction

handler = StageFunction("watch")
