"""What a training will take, before it runs: by arithmetic, or by a few measured steps."""
