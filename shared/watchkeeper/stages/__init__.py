"""The stages, one module each. A stage knows no other."""
