"""A repository's stages as their files say, and as the run cache knows them, whatever the current folder is."""

from typing import Any


def load_stage(repo: Any, name: str) -> Any:
    """The stage of this name; nothing that is learned about it is kept."""
    return next(stage for stage in repo.index.stages if stage.name == name)  # `repo.stage.load_one` looks in the current folder


def has_key(stage: Any) -> bool:
    """Whether the inputs are here and the run cache can hold results for them; notes the inputs' digests in the stage."""
    from dvc.stage.cache import _can_hash

    if not all(dep.exists for dep in stage.deps):
        return False
    stage.save_deps()
    return bool(_can_hash(stage))


def fill_from_run_cache(repo: Any, stage: Any) -> Any:
    """A stage that has a key, with the newest results that the run cache has under it; None: it knows none."""
    from dvc.stage.loader import StageLoader

    entry = repo.stage_cache._load(stage)
    if not entry:
        return None
    StageLoader.fill_from_lock(stage, entry)
    return stage
