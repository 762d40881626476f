"""The `collect` stage: its contract, and one file an alternative."""
