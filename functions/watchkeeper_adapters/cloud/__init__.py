"""What functions of every cloud have in common: triggers, what a process holds, tokens of people, what is counted."""
