"""Lambda's way into `clean`."""

from watchkeeper_aws.function import StageFunction

handler = StageFunction("clean")
