"""The test cluster's configuration is what it was, to the letter, and nothing in it depends on the machine that writes it."""

from dataclasses import replace
from pathlib import Path

from infra.deploy.cluster import default_configuration
from infra.deploy.cluster.configuration import ClusterPlace, ClusterShape, configuration_files, slurm_conf

GOLDEN = Path(__file__).parents[2] / "golden/slurm.conf"
PLACE = ClusterPlace(
    folder=Path("/srv/cluster"), sockets=Path("/tmp/martlet-1000/20000"), host="laptop", address="127.0.1.1",
    binds_address=True, user="hana", port=20_000, version=(22, 5),
)


def test_the_configuration_is_the_golden_one() -> None:
    assert slurm_conf(ClusterShape(), PLACE) == GOLDEN.read_text(encoding="utf-8")


def test_the_daemons_bind_loopback_where_the_host_name_stands_for_it() -> None:
    def says_so(place: ClusterPlace) -> bool:
        return "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny" in slurm_conf(ClusterShape(), place)

    assert says_so(PLACE)
    assert not says_so(replace(PLACE, binds_address=False))


def test_newer_daemons_are_told_not_to_want_cgroups_and_older_ones_are_not() -> None:
    def cgroup(version: tuple[int, int]) -> str:
        return configuration_files(ClusterShape(), replace(PLACE, version=version))[PLACE.folder / "cgroup.conf"]

    assert "CgroupPlugin" not in cgroup((22, 5))  # an unknown key is fatal
    assert "CgroupPlugin=disabled" in cgroup((24, 11))


def test_a_cluster_without_gpus_has_none() -> None:
    files = configuration_files(ClusterShape(gpus=0), PLACE)
    assert files[PLACE.folder / "gres.conf"] == ""
    assert "Gres=" not in files[PLACE.configuration]


def test_the_cluster_below_home_is_found_while_it_has_a_configuration(tmp_path: Path) -> None:
    assert default_configuration(tmp_path) is None
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster/slurm.conf").touch()
    assert default_configuration(tmp_path) == tmp_path / "cluster/slurm.conf"
