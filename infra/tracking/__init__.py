"""MLflow: one writer that mirrors what the stages wrote to disk."""
