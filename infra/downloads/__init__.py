"""What the adapters that fetch have in common: files that are hashed again before use, and archives that stay within limits."""
