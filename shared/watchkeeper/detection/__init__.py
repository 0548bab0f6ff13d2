"""Anomaly detection: what is normal for each device, how surprising a reading is, and when that is an episode."""
