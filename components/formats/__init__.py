"""What the stages leave for each other below `artifacts/`: one file per format, its writer next to its reader."""
