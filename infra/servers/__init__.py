"""What listens on this machine for one user alone: the servers of Prefect and MLflow behind a gate, and the gate's secret."""
