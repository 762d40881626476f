"""What Martlet runs on, set up: one folder per kind of place."""
