"""Ray: the trees of the local engine, byte by byte, through killed actors, killed drivers and URLs."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import alb_mixup
from alb_mixup.cli import main
from alb_mixup.errors import ArgumentError, ImageReadError, OutputError
from alb_mixup.generation.destination import PLAN
from alb_mixup.generation.mixer import Writer
from alb_mixup.generation.plan import Plan
from alb_mixup.generation.run import carry_out
from tests.generation.test_pipeline import everything
from tests.generation.test_run import alive
from tests.support import layouts, tree

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

from alb_mixup.integrations import ray as integration  # noqa: E402
from alb_mixup.integrations.ray import generate  # noqa: E402

MULTIPLIER = 12

# Ray reads its own deprecated settings.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray[.].*")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=2, object_store_memory=300 * 2**20, include_dashboard=False)
    yield
    ray.shutdown()


@pytest.fixture
def dataset():
    return alb_mixup.sample_dataset()


def processes():
    """Parent and command of all processes, by id."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            found[int(stat.parent.name)] = (parent, (stat.parent / "cmdline").read_text())
    return found


def actors_below(ancestor):
    """Ids of the actor processes of a driver."""
    table = processes()

    def descends(pid):
        while pid in table and pid != ancestor:
            pid = table[pid][0]
        return pid == ancestor

    return [pid for pid, (_, command) in table.items() if "_Actor" in command and descends(pid)]


def images(root):
    return sum(1 for _ in root.rglob("mixup_*.jpg"))


def test_folder_url_and_command_write_the_local_tree_in_all_layouts(dataset, tmp_path, capsys):
    settings = {"multiplier": 3, "seed": 5}
    for output_format, destination in (
        ("coco", tmp_path / "ray" / "coco"),
        ("yolo", f"local://{tmp_path}/ray/yolo"),  # a folder for us, as file:// is
        ("voc", f"file://{tmp_path}/ray/voc"),
    ):
        generate(dataset, destination, workers=2, output_format=output_format, progress=False, **settings)
        local = tmp_path / "local" / output_format
        alb_mixup.generate(dataset, local, output_format=output_format, progress=False, **settings)
        assert tree(tmp_path / "ray" / output_format) == tree(local)
    assert len(tree(tmp_path / "ray" / "yolo" / "labels")) == 3 * len(dataset)


def test_the_command(tmp_path, capsys):
    source = layouts.write_yolo(tmp_path / "source")
    command = [
        "generate",
        str(source),
        str(tmp_path / "ray"),
        "--format",
        "voc",
        "--drop-weights",
        "--min-weight",
        "0.3",
    ]
    assert main([*command, "--engine", "ray", "--workers", "2"]) == 0
    said = capsys.readouterr()
    assert said.out.endswith(
        f"{tmp_path}/ray holds the mixes of {source}; λ and sources are in {tmp_path}/ray/manifest.csv\n"
    )
    assert "4/4" not in said.err  # no bar where nobody watches
    command[2] = str(tmp_path / "local")
    assert main(command) == 0
    assert tree(tmp_path / "ray") == tree(tmp_path / "local")


def test_a_pipeline_and_originals_write_the_local_tree(tmp_path):
    source = alb_mixup.open_dataset(layouts.write_coco(tmp_path / "source"))
    settings = {"pipeline": everything(source, alb_mixup.open_dataset(layouts.write_voc(tmp_path / "other")))}
    settings |= {"include_originals": True, "multiplier": 12, "progress": False}
    generate(source, tmp_path / "ray", workers=2, **settings)
    assert tree(tmp_path / "ray") == tree(alb_mixup.generate(source, tmp_path / "local", **settings))
    assert len(list((tmp_path / "ray" / "images").iterdir())) == 13 * len(source)


def test_an_actor_killed_in_the_middle_loses_and_doubles_nothing(dataset, tmp_path, added):
    root, killed = tmp_path / "ray", []

    def kill():
        while images(root) < 40:
            time.sleep(0.005)
        pid = actors_below(os.getpid())[0]
        os.kill(pid, signal.SIGKILL)
        killed.append((pid, images(root)))

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    generate(dataset, root, workers=2, multiplier=MULTIPLIER, progress=False)
    killer.join()
    assert killed[0][1] < len(dataset) * MULTIPLIER
    assert sorted(added) == list(range(len(dataset) * MULTIPLIER))
    assert tree(root) == tree(alb_mixup.generate(dataset, tmp_path / "l", multiplier=MULTIPLIER, progress=False))


RUN = f"""
import sys
from alb_mixup import sample_dataset
from alb_mixup.integrations.ray import generate
generate(sample_dataset(), sys.argv[1], workers=2, multiplier={MULTIPLIER}, progress=False)
"""


def test_a_killed_driver_goes_on_where_it_was(dataset, tmp_path, added):
    script, root = tmp_path / "run.py", tmp_path / "ray"
    script.write_text(RUN)
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen([sys.executable, script, root], stdout=log, stderr=log, env=environment)
    journal = root / ".mixup" / "done.jsonl"
    while not journal.exists() or journal.read_text().count("\n") < 20:
        assert process.poll() is None, f"ended before it could be killed: {(tmp_path / 'log').read_text()}"
        time.sleep(0.005)
    actors = actors_below(process.pid)
    assert actors
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while any(map(alive, actors)):
        assert time.monotonic() < deadline, "an actor outlived its driver"
        time.sleep(0.05)
    done = [json.loads(line) for line in journal.read_text().splitlines(keepends=True) if line.endswith("\n")]
    times = {path: (root / path).stat().st_mtime_ns for record in done for path in record["files"]}
    assert 20 <= len(done) < len(dataset) * MULTIPLIER
    generate(dataset, root, workers=2, multiplier=MULTIPLIER, progress=False)
    assert sorted(added) == sorted(set(range(len(dataset) * MULTIPLIER)) - {record["number"] for record in done})
    assert {path: (root / path).stat().st_mtime_ns for path in times} == times
    assert tree(root) == tree(alb_mixup.generate(dataset, tmp_path / "l", multiplier=MULTIPLIER, progress=False))


def test_an_unreadable_image_is_named_and_it_goes_on_when_that_is_mended(tmp_path):
    dataset = alb_mixup.open_dataset(layouts.write_voc(tmp_path / "source"))
    path = dataset.image_path(3)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageReadError, match=r"3\.png"):
        generate(dataset, tmp_path / "ray", progress=False)
    path.write_bytes(content)
    generate(dataset, tmp_path / "ray", progress=False)
    assert tree(tmp_path / "ray") == tree(alb_mixup.generate(dataset, tmp_path / "local", progress=False))


def test_a_destination_of_this_machine_alone_is_refused_by_the_actors(dataset):
    with pytest.raises(OutputError, match="destination must be one that all machines share"):
        generate(dataset, "memory://mixed", progress=False)  # each process has a memory of its own


# ------------------------------------------------------------------------------------------ without actors


def test_a_set_behind_a_url_goes_on_from_the_records_there(dataset, tmp_path, added):
    plan = Plan(dataset, multiplier=2)

    def engine(stop):
        def run(missing):
            place = integration._place("memory://half/mixed")
            writer = Writer(plan, place)
            for begin in range(0, len(missing), 4):
                if begin == stop:
                    raise KeyboardInterrupt
                yield writer(missing[begin : begin + 4])

        return run

    place = integration._place("memory://half/mixed/")
    with pytest.raises(KeyboardInterrupt):
        carry_out(plan, place, engine(12), False)
    assert added == list(range(12))
    carry_out(plan, place, engine(None), False)
    assert added == list(range(28))
    root = alb_mixup.generate(dataset, tmp_path / "local", multiplier=2, progress=False)
    paths = [path.removeprefix(f"{place._root}/") for path in place._fs.find(place._root)]
    assert {path: place.read(path) for path in paths} == tree(root)
    carry_out(plan, place, lambda missing: pytest.fail("it is finished"), False)
    with pytest.raises(OutputError, match="seed=0"):
        carry_out(Plan(dataset, multiplier=2, seed=1), place, None, False)


def test_nothing_foreign_behind_a_url_is_overwritten(dataset):
    place = integration._place("memory://foreign")
    place.write("photo.jpg", [b"mine"])
    with pytest.raises(OutputError, match=r"memory://foreign, which holds something else"):
        generate(dataset, "memory://foreign", progress=False)
    assert place.read(PLAN) is None


def test_bad_arguments_are_refused_before_anything_is_written(dataset, tmp_path, capsys):
    with pytest.raises(ArgumentError, match="workers must be at least 1, got 0"):
        generate(dataset, tmp_path / "ray", workers=0)
    with pytest.raises(ArgumentError, match="seed must be"):
        generate(dataset, tmp_path / "ray", seed=-1)
    assert not (tmp_path / "ray").exists()
