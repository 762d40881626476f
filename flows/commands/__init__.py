"""What the `martlet` command does, one file a subject."""
