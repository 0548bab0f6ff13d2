"""Kafka, wherever it runs: the stream port over any cluster that speaks its protocol.

`connection` is how to reach one, `stream` the port, `topics` makes what is missing, and `membership` divides partitions
among the processes of a consumer group.
"""
