"""Lambda's way into `rag_explain`."""

from watchkeeper_aws.function import StageFunction

handler = StageFunction("rag_explain")
