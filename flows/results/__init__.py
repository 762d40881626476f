"""The files that stages made, in the workspace and in DVC's cache: told by their digests, mended, sent and fetched."""
