"""Tokenizer folders of every kind, asked in one way: the reader, one file a kind, and who chooses among them."""
