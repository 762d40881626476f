"""The `train` stage: its contract, and one file an alternative."""
