"""The `publish` stage: its contract, and one file an alternative."""
