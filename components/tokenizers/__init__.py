"""Tokenizers of either family: loaded, compared by what they do, converted, checked."""
