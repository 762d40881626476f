"""Work that a stage's ranks share: what they are told, how they report and stop, and what becomes of them."""
