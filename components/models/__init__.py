"""Model folders: their files, shapes, types and weights, read without torch."""
