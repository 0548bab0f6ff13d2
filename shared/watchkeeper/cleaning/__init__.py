"""What clean decides: repetition, lateness, ranges and missing values."""
