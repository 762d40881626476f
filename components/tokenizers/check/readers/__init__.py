"""Readers of tokenizer folders: one interface, one file for each kind, and the module that chooses among them."""
