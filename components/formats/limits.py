"""How large what comes from elsewhere may be: far above what real data is, and far below what a machine holds.

Compressed bytes say nothing of what they become: 0.3 MB of gzip can be 300 MB. Everything is read as a stream up to its limit.
"""

PAGE_BYTES = 32 << 20
"""Of one page, document or line, unpacked. The largest pages of a crawl have some 5 MB, a whole book 2 MB."""
ARCHIVE_BYTES = 64 << 20
"""An archive may always become this much when it is unpacked …"""
ARCHIVE_RATIO = 100
"""… and this many times its own size: packages of text become 3 to 15 times as large."""
