"""New pieces, for either family of tokenizers."""
