"""Lambda's way into the authorizer, which API Gateway asks who a key belongs to. It is no stage."""

from watchkeeper_aws.authorizer import Authorizer

handler = Authorizer()
