"""A file a command: its options, what it prints and writes."""
