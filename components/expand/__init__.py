"""The `expand` stage: its contract, and one file an alternative."""
