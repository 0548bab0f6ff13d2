"""What notify decides: who is told of an alert, and when again."""
