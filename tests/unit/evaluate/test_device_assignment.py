"""Every GPU works on a model that fits it, and a model that does not gets as many as it takes."""

from pathlib import Path

import pytest

from components.errors import InputError
from components.evaluate.engine.device_assignment import GIB, DeviceAssignment, RankPlace, assign_devices, largest_weights

MISTRAL_7B, MIXTRAL_8X7B = int(13.7 * GIB), 87 * GIB
A100, H100 = 40 * GIB, 80 * GIB


def assignments(gpus: list[int], weights: int, local_ranks: int, nodes: int = 1) -> list[DeviceAssignment | None]:
    places = [RankPlace(rank, local_ranks * nodes, rank % local_ranks, local_ranks) for rank in range(local_ranks * nodes)]
    return [assign_devices(place, gpus, weights) for place in places]


def test_each_rank_of_a_node_has_a_gpu_of_its_own_whether_it_sees_all_or_one() -> None:
    assert assignments([A100] * 4, MISTRAL_7B, 4) == [DeviceAssignment(rank, 4, (f"cuda:{rank}",)) for rank in range(4)]
    assert assignments([A100], MISTRAL_7B, 4) == [DeviceAssignment(rank, 4, ("cuda:0",)) for rank in range(4)]


def test_without_a_gpu_every_rank_works_on_the_cpu() -> None:
    assert assignments([], MIXTRAL_8X7B, 2) == [DeviceAssignment(0, 2, ("cpu",)), DeviceAssignment(1, 2, ("cpu",))]


@pytest.mark.parametrize(("gpu", "nodes", "working", "width"), [
    (A100, 1, [0, 4], 4), (H100, 1, [0, 2, 4, 6], 2), (H100, 2, [0, 2, 4, 6, 8, 10, 12, 14], 2),
])  # fmt: skip
def test_ranks_stand_back_where_a_model_takes_several_gpus(gpu: int, nodes: int, working: list[int], width: int) -> None:
    found = assignments([gpu] * 8, MIXTRAL_8X7B, 8, nodes)
    taken = [(rank, assignment) for rank, assignment in enumerate(found) if assignment]
    assert working == [rank for rank, _ in taken]
    assert [assignment.number for _, assignment in taken] == list(range(len(taken)))
    assert {(assignment.assignments, len(assignment.devices)) for _, assignment in taken} == {(len(taken), width)}
    on_a_node = [device for _, assignment in taken[: 8 // width] for device in assignment.devices]
    assert on_a_node == [f"cuda:{gpu}" for gpu in range(8)]


def test_a_rank_with_gpus_to_spare_takes_all_of_its_own() -> None:
    assert assignments([H100] * 8, MIXTRAL_8X7B, 2) == [
        DeviceAssignment(0, 2, tuple(f"cuda:{gpu}" for gpu in range(4))),
        DeviceAssignment(1, 2, tuple(f"cuda:{gpu}" for gpu in range(4, 8))),
    ]  # fmt: skip


def test_a_model_that_no_node_holds_is_refused_with_both_numbers() -> None:
    with pytest.raises(InputError, match=r"87\.0 GiB.*the 1 GPUs.*40\.0 GiB.*no --gpus-per-task"):
        assignments([A100], MIXTRAL_8X7B, 8)


def test_the_largest_of_the_models_counts(tmp_path: Path) -> None:
    for name, sizes in (("base", [10, 20]), ("model", [40])):
        (tmp_path / name).mkdir()
        for number, size in enumerate(sizes):
            (tmp_path / name / f"model-{number}.safetensors").write_bytes(bytes(size))
    assert largest_weights([tmp_path / "base", tmp_path / "model"]) == 40
