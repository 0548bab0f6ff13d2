"""Lambda's way into `rule_check`."""

from watchkeeper_aws.function import StageFunction

handler = StageFunction("rule_check")
