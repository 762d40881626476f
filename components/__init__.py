"""The stages of the line: one folder a stage, one file an alternative."""
