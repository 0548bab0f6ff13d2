"""Lambda's way into `retrain`."""

from watchkeeper_aws.function import StageFunction

handler = StageFunction("retrain")
