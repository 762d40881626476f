"""The `clean` stage: its contract, and one file an alternative."""
