"""Lambda's way into `budget_cutoff`."""

from watchkeeper_aws.function import StageFunction

handler = StageFunction("budget_cutoff")
