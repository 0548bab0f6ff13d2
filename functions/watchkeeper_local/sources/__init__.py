"""What produces telemetry on one machine: a simulated fleet, this host, CSV files, and the senders that carry them."""
