"""Text and tokens between stages: documents, token shards, mixtures, batches, and where a sample comes from."""
