"""What fetches from outside: the Hub, PyPI, Debian, S3. Files are hashed again before use, archives stay within limits."""
