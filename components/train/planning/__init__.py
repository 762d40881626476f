"""Predicts the time, memory and disk of a training before it runs: by arithmetic, or from a few measured steps."""
