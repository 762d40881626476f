"""The batch script says what was asked for, whatever names and paths are made of."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.errors import ParameterError
from infra.sites import load_cluster
from infra.slurm.script import ScriptRequest, sbatch_text

GOLDEN = Path(__file__).parents[2] / "golden"
HOME = Path("/groups/nlp/martlet")
HOSTILE = """it's a "name" with $HOME, `id`, $(id), 100 %, a;b, a|b, ~, *, # and 燕のことば"""


def request_for(recipe: str, site: str, stage: str = "train") -> ScriptRequest:
    slurm = load_cluster(site)
    assert slurm is not None
    digest = "5f" * 32
    return ScriptRequest(
        name=f"martlet-{stage}-{digest[:16]}", comment=f"{recipe}-1a2b3c4d", folder=HOME / "checkpoints" / digest / "job",
        workspace=HOME / f"runs/{recipe}-1a2b3c4d", python=HOME / "venv/bin/python", allocation=slurm.stages[stage], site=slurm,
        environment={"MARTLET_HOME": str(HOME), "MARTLET_SITE": site}, exclude=[],
    )


def with_site(request: ScriptRequest, **changes: Any) -> ScriptRequest:
    return replace(request, site=request.site.model_copy(update=changes))


def with_allocation(request: ScriptRequest, **changes: Any) -> ScriptRequest:
    return replace(request, allocation=request.allocation.model_copy(update=changes))


@pytest.fixture
def small() -> ScriptRequest:
    return request_for("smoke", "slurm-dev")


@pytest.mark.parametrize("site", ["a100-16x8", "h100-16x8"])
@pytest.mark.parametrize("recipe", ["swallow-ms-7b", "swallow-mx-8x7b"])
def test_the_scripts_of_the_swallow_trainings_are_these(recipe: str, site: str) -> None:
    golden = GOLDEN / f"train_{recipe}_{site}.sbatch"
    assert sbatch_text(request_for(recipe, site)) == golden.read_text(encoding="utf-8")


def test_every_option_that_is_asked_for_stands_in_the_script_and_no_other(small: ScriptRequest) -> None:
    request = with_allocation(
        with_site(small, account="nlp"), qos="long", memory_mib_per_node=1024, exclusive=True, nodes=4, minimum_nodes=4,
    )
    text = sbatch_text(replace(request, exclude=["node3", "node7"]))
    assert re.findall(r"^#SBATCH --(.*)$", text, re.MULTILINE) == [
        "job-name=martlet-train-5f5f5f5f5f5f5f5f", "comment=smoke-1a2b3c4d", "account=nlp", "partition=low", "qos=long",
        "nodes=4", "ntasks-per-node=2", "gpus-per-node=2", "cpus-per-task=1", "mem=1024M", "exclusive", "time=30",
        "signal=USR2@60", "requeue", "dependency=singleton", "open-mode=append", f"output={small.folder}/batch.log",
        "exclude=node3,node7",
    ]
    least = sbatch_text(with_allocation(small, partition=None, gpus_per_node=0))
    assert not re.search(r"account|partition|qos|gpus|mem|exclusive|exclude|module", least)
    assert "#SBATCH --mem=0\n" in sbatch_text(with_allocation(small, memory_mib_per_node=0))


def test_a_job_of_an_open_number_of_nodes_asks_for_one_task_a_node_with_the_cpus_of_all(small: ScriptRequest) -> None:
    text = sbatch_text(with_allocation(small, nodes=4, minimum_nodes=2, tasks_per_node=8, cpus_per_task=3))
    assert "#SBATCH --nodes=2-4\n" in text
    assert "#SBATCH --cpus-per-task=24\n" in text
    assert "ntasks" not in text


def test_a_shell_reads_every_word_as_it_was_meant(small: ScriptRequest, tmp_path: Path) -> None:
    workspace, folder = tmp_path / HOSTILE, tmp_path / f"{HOSTILE} 2"
    workspace.mkdir()
    python = tmp_path / "it's python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$PWD" "$@" "$OURS" "$THEIRS" "$ORDER"\n', encoding="utf-8")
    python.chmod(0o755)
    request = replace(
        with_site(small, environment={"THEIRS": HOSTILE, "ORDER": "the site's"}), workspace=workspace, folder=folder,
        python=python, environment={"OURS": HOSTILE, "ORDER": "ours"},
    )
    done = subprocess.run(["bash"], input=sbatch_text(request), capture_output=True, text=True, check=True)
    expected = [str(workspace), "-m", "infra.slurm.batch", str(folder), HOSTILE, HOSTILE, "the site's"]
    assert done.stdout.splitlines() == expected


def test_a_missing_workspace_or_module_ends_the_job(small: ScriptRequest, tmp_path: Path) -> None:
    there = replace(small, workspace=tmp_path)
    for request in (replace(small, workspace=tmp_path / "gone"), with_site(there, modules=["gone/1"])):
        text = sbatch_text(replace(request, python=Path("/bin/echo")))
        done = subprocess.run(["bash"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")


def test_modules_come_after_our_variables_and_before_the_sites(small: ScriptRequest) -> None:
    text = sbatch_text(with_site(small, modules=["gcc/13", "cuda/12.8"], environment={"NCCL_DEBUG": "WARN"}))
    body = [line.split()[:2] for line in text.splitlines() if line.startswith(("export", "module"))]
    assert [words for words in body if words[0] == "module"] == [["module", "load"]] * 2
    assert [words[0] for words in body] == ["export", "export", "module", "module", "export"]
    assert text.startswith("#!/bin/bash --login\n")  # where `module` is defined


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\x00b", "a\x7fb", "#SBATCH --uid=0\n#"])
@pytest.mark.parametrize("where", ["comment", "folder", "workspace", "python", "ours", "theirs", "module", "exclude"])
def test_a_value_that_would_end_its_line_is_refused(small: ScriptRequest, where: str, bad: str) -> None:
    changed = {
        "comment": lambda: replace(small, comment=bad),
        "folder": lambda: replace(small, folder=Path(f"/a/{bad}")),
        "workspace": lambda: replace(small, workspace=Path(f"/a/{bad}")),
        "python": lambda: replace(small, python=Path(f"/a/{bad}")),
        "ours": lambda: replace(small, environment={"NAME": bad}),
        "theirs": lambda: with_site(small, environment={"NAME": bad}),
        "module": lambda: with_site(small, modules=[bad]),
        "exclude": lambda: replace(small, exclude=[bad]),
    }
    with pytest.raises(ParameterError, match="has a newline or another control character"):
        sbatch_text(changed[where]())


def test_a_log_path_is_no_pattern(small: ScriptRequest) -> None:
    text = sbatch_text(replace(small, folder=Path('/a/100 %j "x"')))
    assert '#SBATCH --output="/a/100 %%j \\"x\\"/batch.log"\n' in text
    with pytest.raises(ParameterError, match="a path with a backslash"):
        sbatch_text(replace(small, folder=Path("/a\\b")))
