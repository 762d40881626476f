"""The stages of the line: one folder per stage, one file per alternative."""
