"""The runtime on AWS: Lambda handlers over the pipeline, its streams on MSK, its state in S3 and DynamoDB."""
