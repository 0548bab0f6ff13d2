"""Models in shadow: what a new one would have said, beside the one in force, and whether it may take its place."""
