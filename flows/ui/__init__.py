"""The pages of Prefect and MLflow with a worker, served on this machine; and the deployment whose form starts runs."""
