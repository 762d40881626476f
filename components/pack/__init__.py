"""The `pack` stage: its contract, and one file per alternative."""
