"""The DVC remote: which one a run has, and the files that it holds."""
