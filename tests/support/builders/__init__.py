"""Builds small inputs quickly: texts, tokenizers, models, token shards, runs."""
