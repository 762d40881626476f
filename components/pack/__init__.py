"""The `pack` stage: its contract, and one file an alternative."""
