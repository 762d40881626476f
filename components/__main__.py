"""The door runs one stage: `python -m components STAGE name=path … output=path record=path` leaves its output and record.

DVC calls it; a person may too. The output appears under its name only when it is whole. Anything that a user can mend ends
in exit code 1 and one message on standard error.
"""

import inspect
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from components.base.component import Component
from components.base.planning import WarmStartable
from components.context import JOURNAL, batch_launcher, build_context
from components.errors import InputError, ParameterError
from components.formats.digests import digest_file, digest_folder, digest_value
from components.formats.names import printable_lines
from components.inputs import digest_inputs
from components.params import component_of, load_params
from components.records import Artifact, Record, fingerprint, warm_start_key
from components.stage_job import StageCall, answer_in_a_job, carry_out
from infra.disk import user_message
from infra.processes import die_with_parent
from infra.scratch import held, scratch_of, warm_start_candidates, write_warm_start_key
from infra.servers.loopback import loopback_directly
from infra.settings import Settings

OWN_ARGUMENTS = ("output", "record")


def main(arguments: Sequence[str]) -> int:
    """Runs one stage; returns the exit code."""
    stage = arguments[0] if arguments else ""
    os.environ.update(loopback_directly(os.environ))
    try:
        run_stage(stage, parse_paths(arguments[1:]))
    except Exception as error:
        message = user_message(error, Settings())
        if message is None:
            raise
        return fail(stage, message)
    return 0


def parse_paths(arguments: Sequence[str]) -> dict[str, Path]:
    """`name=path` arguments as a mapping."""
    pairs = [argument.partition("=") for argument in arguments]
    if bad := [name for name, equals, path in pairs if not (equals and path)]:
        raise ParameterError(f"expected name=path, found {bad[0]!r}. Usage: python -m components STAGE name=path … output=path")
    return {name: Path(path) for name, _, path in pairs}


def run_stage(stage: str, paths: dict[str, Path]) -> None:
    """Builds the component that `params.yaml` asks for, runs it, and puts its output and record in place."""
    component = component_of(load_params(Path("params.yaml")), stage)
    check_paths(stage, component, paths)
    inputs = {name: path for name, path in paths.items() if name not in OWN_ARGUMENTS}
    digests = digest_inputs(inputs, paths["record"].parent)
    settings = Settings()
    mark, key = fingerprint(component, digests), warm_start_key(component, digests)
    scratch = scratch_of(settings, mark)
    candidates = warm_start_candidates(settings, scratch, key) if isinstance(component, WarmStartable) else ()
    context = build_context(settings, stage, mark, candidates)
    jobs = None if component.is_passthrough else batch_launcher(settings, stage, context)
    launcher = jobs or context.launcher
    started, clock = datetime.now(UTC), time.monotonic()
    with held(scratch, context.journal.say), Partial(paths["output"]) as partial:
        if isinstance(component, WarmStartable):
            write_warm_start_key(scratch, key)
        call = StageCall(stage=stage, inputs=inputs, output=partial, fingerprint=context.fingerprint)
        if jobs is None or component.distributed:
            answer = carry_out(component, replace(context, launcher=launcher), call)
        else:
            answer = answer_in_a_job(jobs, context, call)
        usage = launcher.usage(context.journal.metrics)
    files = digest_folder(paths["output"])
    record = Record(
        stage=stage,
        kind=component.kind,
        version=component.version,
        parameters=component.model_dump(mode="json"),
        inputs=digests,
        output=Artifact(path=str(paths["output"]), sha256=digest_value(files)),
        fingerprint=context.fingerprint,
        commit=settings.commit,
        environment_lock=digest_file(Path("requirements.lock")),
        site=context.site.name,
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - clock, 3),
        run=settings.run,
        mlflow_run=mlflow_run(),
        prefect_flow_run=settings.flow_run,
        report=answer.report,
        headline=answer.headline,
        usage=usage,
        files=files,
    )
    with Partial(paths["record"]) as partial:
        partial.mkdir(parents=True)
        record.write(partial)
        if context.journal.metrics.exists():
            shutil.copyfile(context.journal.metrics, partial / "metrics.jsonl")
        launcher.copy_job_record(partial / "job")
    context.journal.say(record.headline)


def mlflow_run() -> str:
    """The MLflow run that follows this workspace; asked late, since nothing waits for MLflow to come up."""
    path = JOURNAL / "mlflow_run"
    text = path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""
    return text if re.fullmatch(r"[\w-]+", text) else ""  # a crash may leave anything


def check_paths(stage: str, component: Component, paths: dict[str, Path]) -> None:
    """Raises `ParameterError` or `InputError` unless the paths are those that the component's `run` asks for."""
    signature = inspect.signature(component.run)  # type: ignore[attr-defined]
    expected = {name for name in signature.parameters if name != "context"} | {"record"}
    if wrong := expected ^ set(paths):
        needs = " ".join(f"{name}=…" for name in sorted(expected))
        raise ParameterError(f"{stage} takes exactly {needs}; missing or unknown: {', '.join(sorted(wrong))}. See dvc.yaml.")
    for name, path in paths.items():
        if name not in OWN_ARGUMENTS and not path.exists():
            raise InputError(f"{stage}: its input {name} is missing: {path}. Run `dvc repro {stage}`, which makes it first.")


class Partial:
    """A path that appears under its name only when the block ends well; what a failed block left is removed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_name(f".{path.name}.partial")

    def __enter__(self) -> Path:
        """The temporary name."""
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        return self.partial

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Renames on success."""
        if kind is None:
            shutil.rmtree(self.path, ignore_errors=True)
            self.partial.replace(self.path)
        else:
            shutil.rmtree(self.partial, ignore_errors=True)


def fail(stage: str, message: str) -> int:
    """Prints the message for people and leaves it in the journal for the flow."""
    message = printable_lines(message)
    print(f"error: {message}", file=sys.stderr, flush=True)  # noqa: T201
    if stage:
        try:
            JOURNAL.mkdir(exist_ok=True)
            (JOURNAL / f"{stage}.error").write_text(f"{message}\n", encoding="utf-8")
        except OSError:  # on a full disk the printed message is all there is
            return 1
    return 1


if __name__ == "__main__":
    die_with_parent()
    sys.exit(main(sys.argv[1:]))
