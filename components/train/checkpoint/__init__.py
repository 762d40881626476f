"""Checkpoints: written, verified, kept, read by any number of ranks, taken over from another training."""
