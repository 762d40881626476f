"""Learning rates by step: one file an alternative."""
