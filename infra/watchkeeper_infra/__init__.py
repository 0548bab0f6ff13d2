"""Watchkeeper in a cloud: the resources of a stack, built from the pipeline's own table."""
