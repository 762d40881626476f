"""The engine that runs a cleaner over the collected pages, in any number of ranks."""
