"""One rank of a training: its model, its batches, its updates and its measurements."""
