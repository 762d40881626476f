"""The proof that a vocabulary can be trusted: a tokenizer folder in, measured facts and verdicts out."""

from components.tokenizer_check.check import check_tokenizer, write_check

__all__ = ["check_tokenizer", "write_check"]
