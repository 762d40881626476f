"""A repository's stages as their files say, and as the run cache knows them, whatever the current folder is."""

from typing import Any


def load_stage(repo: Any, name: str) -> Any:
    """The stage of this name; nothing that is learned about it is kept."""
    return next(stage for stage in repo.index.stages if stage.name == name)  # `repo.stage.load_one` looks in the current folder


def has_inputs(stage: Any) -> bool:
    """Whether the stage could run now, so that it is known what it would be called in the run cache."""
    return all(dep.exists for dep in stage.deps)


def fill_from_run_cache(repo: Any, stage: Any) -> Any:
    """The stage with the newest results that the run cache has for the inputs that are here; None: it knows none."""
    from dvc.stage.cache import _can_hash
    from dvc.stage.loader import StageLoader

    stage.save_deps()
    entry = repo.stage_cache._load(stage) if _can_hash(stage) else None
    if not entry:
        return None
    StageLoader.fill_from_lock(stage, entry)
    return stage
