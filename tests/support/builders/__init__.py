"""Small inputs, made in a moment: texts, tokenizers, models, token shards, runs."""
