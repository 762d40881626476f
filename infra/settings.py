"""Martlet's settings, read from environment variables: folders, the site, the run.

Secrets are not here: each client library reads its own from the environment, and none of our code ever holds them.
"""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where this run works. Everything has a default that suits a laptop."""

    model_config = SettingsConfigDict(env_prefix="MARTLET_", extra="ignore", frozen=True)

    home: Path = Field(default=Path(".martlet"), description="workspaces, caches, checkpoints, histories")
    remote: str = Field(default="", description="where results are sent: a URL that DVC knows, or a folder; empty: nowhere")
    site: str = Field(default="local", description="a file of infra/sites, without its suffix")
    run: str = Field(default="by-hand", description="the run id, set by the flow")
    flow_run: str = Field(default="", description="the Prefect flow run id, set by the flow")
    commit: str = Field(default="", description="the commit that the run was started from, set by the flow")

    @property
    def downloads(self) -> Path:
        """Fetched packages and objects, shared by every run."""
        return self.home.absolute() / "downloads"

    @property
    def checkpoints(self) -> Path:
        """One folder per fingerprint; it survives retries."""
        return self.home.absolute() / "checkpoints"

    @property
    def runs(self) -> Path:
        """One git worktree per run."""
        return self.home.absolute() / "runs"

    @property
    def cache(self) -> Path:
        """DVC's cache, shared by every run."""
        return self.home.absolute() / "cache"
