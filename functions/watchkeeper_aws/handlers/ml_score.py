"""Lambda's way into `ml_score`."""

from watchkeeper_aws.function import StageFunction

handler = StageFunction("ml_score")
