"""Where things run: one file per outside service."""
