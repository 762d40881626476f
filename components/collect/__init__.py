"""The `collect` stage: its contract, and one file per alternative."""
