"""Prefect's side: its page, the form's deployment, artifacts, cancellation."""
