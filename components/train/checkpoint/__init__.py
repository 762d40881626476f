"""Checkpoints of a training: writing, verifying, keeping and reading them, and taking them over from another training."""
