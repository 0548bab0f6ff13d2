"""What budget_cutoff decides: what usage costs, how it will go on, and what is switched off when."""
