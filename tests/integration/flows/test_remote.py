"""Results travel over a real S3 service whole, or with one message; what was cut goes on, and damage is never taken."""

import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dvc.repo import Repo

from components.errors import MartletError
from flows.remote.commits import fetch_tag, send_commits
from flows.results.digests import FileDigests
from flows.results.stage_objects import StageObjects
from infra import git
from infra.remote.address import write_remote
from infra.remote.store import RemoteRefused, RemoteStore
from tests.support.faulty_proxy import Fault, FaultyProxy, faulty_proxy
from tests.support.object_store import ObjectStore, object_store

__all__ = ["object_store"]  # a fixture of the tests here

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # DVC's, on building a pipeline's graph

PIPELINE = """
stages:
  make:
    cmd: python make.py
    params: [make]
    outs: [out]
  use:
    cmd: python -c "import pathlib; pathlib.Path('used').write_text(str(len(list(pathlib.Path('out').iterdir()))))"
    params: [use]
    deps: [out]
    outs: [used]
"""
MAKE = """
import pathlib, random
numbers = random.Random(7)
pathlib.Path("out").mkdir()
for name in range(12):
    pathlib.Path("out", str(name)).write_bytes(numbers.randbytes(numbers.randrange(200_000)))
"""


@pytest.fixture(autouse=True)
def client(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in object_store.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.fixture
def proxy(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    with faulty_proxy(object_store.address) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        yield proxy


@pytest.fixture
def url(object_store: ObjectStore) -> str:
    return f"s3://{object_store.new_bucket()}/team"


@pytest.fixture
def new_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes trees of the same pipeline with a cache of their own."""

    def make(name: str) -> Path:
        tree = tmp_path / name
        (tree / ".dvc").mkdir(parents=True)
        git.git("init", "--quiet", cwd=tree)
        (tree / ".dvc/config").write_text(f"[core]\n    analytics = false\n    site_cache_dir = {tree / 'site'}\n")
        (tree / "dvc.yaml").write_text(PIPELINE)
        (tree / "make.py").write_text(MAKE)
        (tree / "params.yaml").write_text("make: 1\nuse: 1\n")
        return tree

    return make


@pytest.fixture
def made(new_tree: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree whose pipeline has run."""
    tree = new_tree("made")
    monkeypatch.chdir(tree)
    repo = Repo(str(tree))
    repo.reproduce()
    repo.close()
    return tree


@pytest.fixture
def other(new_tree: Callable[[str], Path]) -> Path:
    """A tree with nothing in its cache, in which nothing can be computed."""
    tree = new_tree("other")
    (tree / "make.py").write_text("raise SystemExit('computed again')")
    return tree


def objects(tree: Path, url: str) -> StageObjects:
    return StageObjects(Repo(str(tree)), RemoteStore({"url": url, "verify": "true"}), FileDigests(tree / "home"))


def restored(tree: Path, url: str) -> dict[str, bytes]:
    """What a tree without a cache gets from the remote, without a stage that runs."""
    store = objects(tree, url)
    for stage in ("make", "use"):
        os.chdir(tree.parent)  # as the flow is, while its child is in the tree
        assert store.fetch(stage)
        os.chdir(tree)
        store.repo.reproduce(targets=[stage], single_item=True)
    return contents(tree)


def contents(tree: Path) -> dict[str, bytes]:
    files = [*sorted((tree / "out").iterdir()), tree / "used", tree / "dvc.lock"]
    return {path.name: path.read_bytes() for path in files}


def sent(object_store: ObjectStore, url: str) -> set[str]:
    bucket, prefix = url.removeprefix("s3://").split("/")
    found = object_store.client().list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {each["Key"].removeprefix(f"{prefix}/") for each in found}


def test_another_tree_restores_what_was_sent_with_the_same_bytes(
    made: Path, other: Path, url: str
) -> None:
    store = objects(made, url)
    assert [store.send("make"), store.send("use")] == [13, 1]
    assert [store.send("make"), store.send("use")] == [0, 0]
    assert restored(other, url) == contents(made)


def test_dvc_alone_pulls_what_was_sent(
    made: Path, other: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = objects(made, url)
    store.send("make")
    store.send("use")
    write_remote(other, url)
    shutil.copy(made / "dvc.lock", other)
    monkeypatch.chdir(other)
    repo = Repo(str(other))
    repo.pull(run_cache=True)
    repo.close()
    assert contents(other) == contents(made)


@pytest.mark.parametrize("series", [1, *(pytest.param(number, marks=pytest.mark.long) for number in range(2, 6))])
def test_a_push_that_is_cut_ten_times_goes_on_and_ends_with_the_same_bytes(
    made: Path, other: Path, url: str, proxy: FaultyProxy, object_store: ObjectStore, series: int
) -> None:
    numbers, cuts = random.Random(series), 0
    names: set[str] = set()
    for _ in range(10):
        left = numbers.randrange(1, 5)

        def choose(method: str, path: str) -> Fault | None:
            nonlocal left
            if method == "PUT" and "/files/" in path:
                left -= 1
                return Fault("cut", numbers.randrange(100_000)) if left < 0 else None
            return None

        proxy.choose = choose
        try:
            objects(made, url).send("make")
        except RemoteRefused:
            cuts += 1
        now = sent(object_store, url)
        assert now >= names
        names = now
    assert cuts
    assert not [name for name in names if name.endswith(".dir") and len([n for n in names if "files" in n]) < 13]
    proxy.choose = lambda _method, _path: None
    proxy.requests.clear()
    store = objects(made, url)
    store.send("make")
    store.send("use")
    again = [path for method, path in proxy.requests if method == "PUT" and path.split("/team/")[-1] in names]
    assert again == [], "what was there was sent again"
    assert restored(other, url) == contents(made)


@pytest.mark.parametrize(("fault", "words"), [
    (Fault("status", status=500), r"InternalError"),
    pytest.param(Fault("status", status=503, code="SlowDown"), r"SlowDown", marks=pytest.mark.long),  # asked again for long
    (Fault("status", status=507, code="InsufficientStorage"), r"it is full \(InsufficientStorage.*Free some space there"),
    (Fault("status", status=403, code="AccessDenied"), r"it refuses these keys .*Check AWS_ENDPOINT_URL"),
])
def test_a_store_that_fails_is_one_message(made: Path, url: str, proxy: FaultyProxy, fault: Fault, words: str) -> None:
    store = objects(made, url)
    proxy.choose = lambda method, _path: fault if method == "PUT" else None
    with pytest.raises(RemoteRefused, match=rf"the remote {url} could not be written to: .*{words}.*Nothing is lost"):
        store.send("make")


def test_a_store_that_fails_now_and_then_is_asked_again(
    made: Path, other: Path, url: str, proxy: FaultyProxy
) -> None:
    numbers = random.Random(3)
    seen: set[str] = set()

    def choose(method: str, path: str) -> Fault | None:
        first = f"{method} {path}" not in seen
        seen.add(f"{method} {path}")
        return numbers.choice([Fault("status", status=500), Fault("cut", 10), None]) if first else None

    proxy.choose = choose
    store = objects(made, url)
    store.send("make")
    store.send("use")
    assert restored(other, url) == contents(made)


def test_a_full_bucket_is_said_to_be_full(made: Path, url: str, object_store: ObjectStore) -> None:
    bucket = url.split("/")[2]
    object_store.limit(bucket, objects=4)
    with pytest.raises(RemoteRefused, match=r"it is full \(QuotaExceeded"):
        objects(made, url).send("make")
    object_store.limit(bucket, objects=-1)
    assert objects(made, url).send("make") > 0


@pytest.mark.parametrize(("variable", "value", "words"), [
    ("AWS_SECRET_ACCESS_KEY", "wrong", "it refuses these keys"),
    ("AWS_ACCESS_KEY_ID", "nobody", "it refuses these keys"),
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "Could not connect"),
])
def test_wrong_keys_and_addresses_are_named_before_anything_is_computed(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    (tmp_path / "file").write_text("small")
    with pytest.raises(RemoteRefused, match=words):
        RemoteStore({"url": url}).try_writing(tmp_path / "file")


def test_a_bucket_that_is_not_there_is_named_and_not_created(tmp_path: Path, object_store: ObjectStore) -> None:
    (tmp_path / "file").write_text("small")
    with pytest.raises(RemoteRefused, match=r"there is no such bucket.*Create the bucket"):
        RemoteStore({"url": "s3://martlet-nowhere/team"}).try_writing(tmp_path / "file")
    assert "martlet-nowhere" not in {bucket["Name"] for bucket in object_store.client().list_buckets()["Buckets"]}


def test_a_store_that_hangs_is_given_up(
    tmp_path: Path, url: str, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("small")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    proxy.choose = lambda _method, _path: Fault("stall")
    store = RemoteStore({"url": url, "read_timeout": "1"})
    with pytest.raises(RemoteRefused, match="it did not answer in time"):
        store.try_writing(tmp_path / "file")


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_object_is_dropped_there_and_sent_again(
    made: Path, new_tree: Callable[[str], Path], url: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:  # fmt: skip
    store = objects(made, url)
    store.send("make")
    store.send("use")
    bucket, client = url.split("/")[2], object_store.client()
    name = next(name for name in sorted(sent(object_store, url)) if name.startswith("files/") and not name.endswith(".dir"))
    whole = client.get_object(Bucket=bucket, Key=f"team/{name}")["Body"].read()
    client.put_object(Bucket=bucket, Key=f"team/{name}", Body=whole[:-1] if damage == "cut" else b"x" * len(whole))
    other = new_tree("other")
    monkeypatch.chdir(other)
    there = objects(other, url)
    found = [there.fetch("make"), there.repo.reproduce(targets=["make"], single_item=True), there.fetch("use")]
    assert found[0] is False or found[2] is False
    assert name not in sent(object_store, url)
    monkeypatch.chdir(made)
    assert objects(made, url).send("make") + objects(made, url).send("use") > 0
    assert client.get_object(Bucket=bucket, Key=f"team/{name}")["Body"].read() == whole


def test_an_answer_that_is_cut_is_asked_for_again(
    made: Path, other: Path, url: str, proxy: FaultyProxy
) -> None:
    store = objects(made, url)
    store.send("make")
    store.send("use")
    seen: set[str] = set()

    def choose(method: str, path: str) -> Fault | None:
        first = path not in seen
        seen.add(path)
        return Fault("cut-answer", 100) if first and method == "GET" and "/files/" in path else None

    proxy.choose = choose
    assert restored(other, url) == contents(made)


def test_a_folder_on_the_same_disk_takes_no_second_copy(
    made: Path, other: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "remote"
    store = objects(made, str(folder))
    store.send("make")
    store.send("use")
    files = [path for path in (folder / "files").rglob("*") if path.is_file()]
    assert len(files) == 14
    assert all(path.stat().st_nlink > 1 for path in files)
    assert restored(other, str(folder)) == contents(made)


def test_commits_travel_and_a_damaged_bundle_is_refused(
    made: Path, tmp_path: Path, url: str, object_store: ObjectStore
) -> None:
    git.commit_all(made, "inputs")
    git.tag(made, "run/tiny-12345678", "{}")
    store = RemoteStore({"url": url})
    send_commits(store, made, "run/tiny-12345678")
    other = tmp_path / "elsewhere"
    other.mkdir()
    git.git("init", "--quiet", cwd=other)
    assert fetch_tag(store, other, "run/tiny-12345678")
    assert git.object_of(other, "run/tiny-12345678") == git.object_of(made, "run/tiny-12345678")
    key = {"Bucket": url.split("/")[2], "Key": "team/git/run/tiny-12345678.bundle"}
    whole = object_store.client().get_object(**key)["Body"].read()
    third = tmp_path / "third"
    third.mkdir()
    git.git("init", "--quiet", cwd=third)
    for damaged in (whole[:-30], whole[:10], whole[: len(whole) // 2] + b"?" + whole[len(whole) // 2 + 1 :]):
        object_store.client().put_object(**key, Body=damaged)
        with pytest.raises(MartletError):
            fetch_tag(store, third, "run/tiny-12345678")
        assert git.object_of(third, "run/tiny-12345678") == ""
