"""One rank of a training: the model, the batches, the updates and what they measure."""
