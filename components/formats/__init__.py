"""What the stages leave for each other below `artifacts/`: one file a format, its writer beside its reader."""
