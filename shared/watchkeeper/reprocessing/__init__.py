"""Reprocessing: stored readings through the stages once more, into a shadow that is compared, promoted or discarded."""
