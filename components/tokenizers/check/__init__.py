"""The proof that a vocabulary can be trusted: a tokenizer folder in, measured facts and verdicts out."""

from components.tokenizers.check.run import check_tokenizer, write_check

__all__ = ["check_tokenizer", "write_check"]
