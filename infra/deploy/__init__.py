"""Sets up what Martlet runs on: one folder per kind of place."""
