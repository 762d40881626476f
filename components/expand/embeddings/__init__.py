"""New rows of embedding and head, and what they start from."""
