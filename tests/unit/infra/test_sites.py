"""Every site file describes a site, and a mistake in one names the file, the key and what was expected."""

from itertools import product
from pathlib import Path

import pytest

from components.data.batches import BatchPlan
from components.errors import ParameterError
from components.recipes import read_parameters
from infra.sites import FOLDER, SiteFile, load_cluster, load_site
from infra.sites.slurm import Container, SlurmAllocation, SlurmSite

ROOT = Path(__file__).parents[3]
SITES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SWALLOWS = ["swallow-ms-7b", "swallow-ms-7b-published", "swallow-mx-8x7b", "swallow-mx-8x7b-published"]


@pytest.mark.parametrize("name", SITES)
def test_every_file_is_a_site_of_its_own_name(name: str) -> None:
    assert load_site(name).name == name
    assert (load_cluster(name) is None) == (name == "local")


@pytest.mark.parametrize(("recipe", "site"), [*product(SWALLOWS, ["a100-16x8", "h100-16x8"]), ("smoke", "slurm-dev")])
def test_each_recipes_batch_is_dealt_out_on_its_sites_with_any_number_of_nodes_that_may_come(recipe: str, site: str) -> None:
    training = read_parameters(ROOT / f"recipes/{recipe}.yaml").values["train"]
    micro_batch_size, slurm = load_site(site).train_micro_batch_size, load_cluster(site)
    assert slurm is not None
    asked = slurm.stages["train"]
    for nodes in range(asked.minimum_nodes, asked.nodes + 1):
        BatchPlan(training["global_batch_size"], micro_batch_size, nodes * asked.tasks_per_node).check(site)


def test_a_changed_value_changes_the_one_place_that_it_names() -> None:
    changes = ["slurm.stages.train.partition=dgx", "train_micro_batch_size=8"]
    slurm, before = load_cluster("a100-16x8", changes), load_cluster("a100-16x8")
    assert slurm is not None
    assert before is not None
    assert slurm.stages["train"].partition == "dgx"
    assert slurm.stages["train_base"] == before.stages["train_base"] == before.stages["train"]
    assert load_site("a100-16x8", changes).train_micro_batch_size == 8


def test_without_its_slurm_a_site_may_have_any_number_of_processes() -> None:
    assert load_site("a100-16x8", ["slurm=null", "train_processes=64"]).train_processes == 64


@pytest.mark.parametrize(("change", "words"), [
    ("train_processes=64", r"train_processes 64 are not slurm\.stages\.train's 16 nodes × 8 tasks_per_node"),
    ("slurm.stages.train_base.tasks_per_node=4", r"not slurm\.stages\.train_base's 16 nodes × 4"),
    ("clean_processes=1", r"clean_processes 1 are not slurm\.stages\.clean's 8 nodes × 1 tasks_per_node"),
    ("evaluate_processes=4", r"evaluate_processes 4 are not slurm\.stages\.evaluate's 1 nodes × 8"),
    ("slurm.stages.train.minimum_nodes=17", r"slurm\.stages\.train: minimum_nodes 17 is more than nodes 16"),
    ("slurm.stages.train.partition=a b", r"slurm\.stages\.train\.partition: String should match"),
    ("slurm.stages.train.nodes=0", r"slurm\.stages\.train\.nodes: Input should be greater than 0"),
    ("slurm.stages.pack.tasks_per_node=2", r"slurm\.stages: pack is one task"),
    ("slurm.stages.publish={}", r"slurm\.stages\.publish"),
    ("slurm.signal_seconds=65000", None),
    ("slurm.signal_seconds=70000", r"slurm\.signal_seconds: Input should be less"),
    ("slurm.stages.train.walltime_minutes=10", r"slurm: signal_seconds 600 is all of stages\.train\.walltime_minutes 10"),
    ("slurm.stages.clean.walltime_minutes=10", r"slurm: signal_seconds 600 is all of stages\.clean\.walltime_minutes 10"),
    ("slurm.environment={HF_TOKEN: x}", r"slurm\.environment: HF_TOKEN looks like a secret"),
    ("slurm.environment={TOKENIZERS_PARALLELISM: '0'}", None),
    ("slurm.environment={a-b: x}", r"'a-b' is not a name of a variable"),
    ("slurm.polls=3", r"slurm\.polls: Extra inputs are not permitted"),
    ("name.x=3", "nothing that could have a key 'x'"),
])
def test_a_mistake_names_the_file_and_the_key(change: str, words: str | None) -> None:
    if words is None:
        assert load_site("a100-16x8", [change])
        return
    with pytest.raises(ParameterError, match=words) as caught:
        load_site("a100-16x8", [change])
    assert "nothing" in str(caught.value) or "a100-16x8.yaml does not describe a site: " in str(caught.value)


def test_the_page_that_describes_a_cluster_has_every_key() -> None:
    text = (ROOT / "docs/how-to/slurm.md").read_text(encoding="utf-8")
    keys = {key for model in (SiteFile, SlurmSite, SlurmAllocation, Container) for key in model.model_fields}
    assert {key for key in keys if f"`{key}`" not in text} == set()
