"""Model folders: their files, shapes, types and weights, read and compared without torch."""
