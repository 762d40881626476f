"""The `evaluate` stage: its contract, and one file for each alternative."""
