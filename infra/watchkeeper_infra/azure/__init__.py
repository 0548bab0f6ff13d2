"""The components of a stack on Azure."""
