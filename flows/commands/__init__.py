"""What the `martlet` command does, one file per subject."""
