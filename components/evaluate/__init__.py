"""The `evaluate` stage: its contract, and one file an alternative."""
