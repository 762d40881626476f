"""A cleaner and collected pages in, clean documents out, in any number of ranks."""
