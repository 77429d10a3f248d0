"""Ray at s3://: a cluster of three nodes and an S3 server, all on this machine, write the local engine's sets."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import alb_mixup
from alb_mixup.errors import OutputError
from tests.support import tree

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
s3fs = pytest.importorskip("s3fs")
moto = pytest.importorskip("moto.server")

from ray.cluster_utils import Cluster  # noqa: E402

from alb_mixup.integrations import ray as integration  # noqa: E402
from alb_mixup.integrations.ray import generate  # noqa: E402

NODES, MULTIPLIER = 3, 12

# Ray reads its own deprecated settings.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray[.].*")


@pytest.fixture(scope="module")
def server():
    """Credentials and endpoint are where AWS's own tools have them, before a node starts that inherits them."""
    server = moto.ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield
    server.stop()


@pytest.fixture(scope="module")
def cluster(server):
    own = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=own | {"include_dashboard": False})
    for _ in range(NODES - 1):
        cluster.add_node(**own)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


class Bucket:
    """What lies in a bucket, as S3's own client sees it."""

    def __init__(self, name):
        self.name = name
        self.store = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
        self.store.mkdir(name)

    def __str__(self):
        return f"s3://{self.name}"

    def tree(self, folder="mixed"):
        root = f"{self.name}/{folder}/"
        return {path.removeprefix(root): self.store.cat_file(path) for path in self.store.find(root)}


@pytest.fixture
def bucket(server, request):
    return Bucket(f"bucket-{abs(hash(request.node.name))}")


@pytest.fixture
def dataset():
    return alb_mixup.sample_dataset()


def test_a_bucket_holds_the_local_tree_and_is_left_alone_when_it_does(
    cluster, bucket, dataset, tmp_path, added, monkeypatch
):
    bucket.store.pipe_file(f"{bucket.name}/mixed-of-yesterday/photo.jpg", b"mine")
    settings = {"multiplier": 3, "seed": 5, "output_format": "yolo", "progress": False}
    assert generate(dataset, f"{bucket}/mixed/", workers=2, address=cluster.address, **settings) == f"{bucket}/mixed"
    assert bucket.tree() == tree(alb_mixup.generate(dataset, tmp_path / "local", **settings))
    assert bucket.tree("mixed-of-yesterday") == {"photo.jpg": b"mine"}
    added.clear()
    monkeypatch.setattr(integration._Bucket, "write", lambda *_, **__: pytest.fail("it is finished"))
    generate(dataset, f"{bucket}/mixed", address=cluster.address, **settings)
    assert added == []


def test_objects_that_are_damaged_or_gone_are_made_anew_and_they_alone(cluster, bucket, dataset, tmp_path, added):
    settings = {"output_format": "voc", "progress": False}
    whole = tree(alb_mixup.generate(dataset, tmp_path / "local", **settings))
    generate(dataset, f"{bucket}/mixed", address=cluster.address, **settings)
    image = whole["JPEGImages/mixup_000003.jpg"]
    bucket.store.pipe_file(f"{bucket.name}/mixed/JPEGImages/mixup_000003.jpg", image[:-9] + bytes(9))
    bucket.store.rm_file(f"{bucket.name}/mixed/Annotations/mixup_000007.xml")
    bucket.store.pipe_file(f"{bucket.name}/mixed/manifest.csv", b"")
    added.clear()
    generate(dataset, f"{bucket}/mixed", address=cluster.address, **settings)
    assert sorted(added) == [3, 7]
    assert bucket.tree() == whole


def test_a_node_that_is_lost_midway_costs_nothing(cluster, bucket, dataset, tmp_path, added):
    lost = []

    def lose():
        while len(bucket.store.find(f"{bucket.name}/mixed/images")) < 3 * len(dataset):
            time.sleep(0.02)
        cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
        lost.append(len(bucket.store.find(f"{bucket.name}/mixed/images")))

    loser = threading.Thread(target=lose, daemon=True)
    loser.start()
    settings = {"multiplier": MULTIPLIER, "progress": False}
    try:
        generate(dataset, f"{bucket}/mixed", workers=NODES, address=cluster.address, **settings)
    finally:
        loser.join(timeout=60)
        cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    assert lost[0] < len(dataset) * MULTIPLIER
    assert sorted(added) == list(range(len(dataset) * MULTIPLIER))
    assert bucket.tree() == tree(alb_mixup.generate(dataset, tmp_path / "local", **settings))


RUN = f"""
import sys
from alb_mixup import sample_dataset
from alb_mixup.integrations.ray import generate
generate(sample_dataset(), sys.argv[1], workers=2, address=sys.argv[2], multiplier={MULTIPLIER}, progress=False)
"""


def test_a_killed_driver_goes_on_from_what_is_in_the_bucket(cluster, bucket, dataset, tmp_path, added):
    script, noted = tmp_path / "run.py", f"{bucket.name}/mixed/.mixup/done"
    script.write_text(RUN)
    with open(tmp_path / "log", "w") as log:
        command = [sys.executable, script, f"{bucket}/mixed", cluster.address]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ.copy())
    while not bucket.store.exists(noted) or len(bucket.store.ls(noted)) < 3:
        assert process.poll() is None, f"ended before it could be killed: {(tmp_path / 'log').read_text()}"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = sum(bucket.store.cat_file(path).count(b"\n") for path in bucket.store.ls(noted))
    generate(dataset, f"{bucket}/mixed", workers=2, address=cluster.address, multiplier=MULTIPLIER, progress=False)
    assert 0 < len(added) <= len(dataset) * MULTIPLIER - done
    local = alb_mixup.generate(dataset, tmp_path / "local", multiplier=MULTIPLIER, progress=False)
    assert bucket.tree() == tree(local)


# ------------------------------------------------------------------------------------------ without a cluster


def test_what_is_in_a_bucket_already_is_never_overwritten(bucket, dataset, monkeypatch):
    monkeypatch.setattr(integration, "_start", lambda *_: None)
    bucket.store.pipe_file(f"{bucket.name}/mixed/images/mixup_000000.jpg", b"mine")
    with pytest.raises(OutputError, match=r"s3://.*/mixed, which holds something else"):
        generate(dataset, f"{bucket}/mixed", progress=False)
    assert bucket.tree() == {"images/mixup_000000.jpg": b"mine"}


@pytest.mark.parametrize(
    ("environment", "says"),
    [({}, "bucket does not exist"), ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "Could not connect to the endpoint")],
)
def test_a_bucket_that_cannot_be_reached_is_an_error_in_words(environment, says, server, dataset, monkeypatch):
    monkeypatch.setattr(integration, "_start", lambda *_: None)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(
        OutputError, match=rf"destination must be .* that can be written, got s3://nowhere/mixed: .*{says}"
    ):
        generate(dataset, "s3://nowhere/mixed", progress=False)
    s3fs.S3FileSystem.clear_instance_cache()
