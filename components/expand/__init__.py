"""The `expand` stage: its contract, and one file per alternative."""
