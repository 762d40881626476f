"""When things run: the Prefect flow, its deployment and the `martlet` command."""
