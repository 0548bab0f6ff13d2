"""Where a metric is going: its trends over minutes, hours and days, and from them what to expect and when."""
