"""The components of a stack on AWS, in the words of the architecture."""
