"""The `clean` stage: its contract, and one file per alternative."""
