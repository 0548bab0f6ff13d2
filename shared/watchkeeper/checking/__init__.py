"""What rule_check decides: which rules a device breaks, since when, and when it no longer does."""
