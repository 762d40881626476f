"""Tokenizers of both families, SentencePiece and byte-level BPE: loading, comparing, converting and checking them."""
