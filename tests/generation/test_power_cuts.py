"""Some power cuts; `python -m tests.generation.power_cuts` tries all of them."""

import sys

import pytest

from alb_mixup.generation.destination import Folder
from tests.generation.power_cuts import cuts_of_cache, cuts_of_generate, in_batches
from tests.support.power import Disk

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells which file is synced")


@pytest.mark.parametrize(
    ("output_format", "options"),
    [("coco", {"ways": ("lost",), "every": 3}), ("yolo", {"ways": ("names alone",), "every": 5})],
)
def test_after_any_power_cut_the_same_call_ends_in_the_same_bytes(output_format, options, tmp_path):
    assert cuts_of_generate(tmp_path, output_format, **options) >= 30


def test_likewise_where_names_and_contents_are_lost_each_for_itself(tmp_path):
    assert cuts_of_generate(tmp_path, "voc", in_batches, ways=("mixed", "zeros"), every=9) >= 30


def test_what_was_noted_is_not_done_again(tmp_path):
    watched, rest = tmp_path / "watched", tmp_path / "rest"
    watched.mkdir()
    with Disk(watched, lambda _: None).watched() as disk:
        journal = Folder(watched / "set").journal(3)
        journal.add([{"number": 1}])
        disk.after_cut(rest, "lost")
        journal.close()
    journal = Folder(rest / "set").journal(3)
    assert journal.missing() == [0, 2]
    journal.close()


def test_a_cache_is_whole_or_not_there(tmp_path):
    assert cuts_of_cache(tmp_path, ways=("lost", "names alone", "mixed")) >= 30
