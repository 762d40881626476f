"""Checks whether a tokenizer can be trusted: measures facts about it and judges them."""

from components.tokenizers.check.run import check_tokenizer, write_check

__all__ = ["check_tokenizer", "write_check"]
