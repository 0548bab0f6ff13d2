"""A module for each function, with its `handler`: what Lambda is told to call. Their names are those of the stages."""
