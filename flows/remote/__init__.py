"""What a run keeps on its remote: its stages' results as DVC stores them, and its commits beside them."""
