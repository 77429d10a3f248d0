"""What `alb-mixup preview` chooses to draw, asked of what it hands to the page."""

import numpy as np
import pytest

import alb_mixup
from alb_mixup.cli import main, preview
from alb_mixup.cli.preview import MOST
from tests.support import damage, exports, layouts


@pytest.fixture
def drawn(monkeypatch):
    """The mixes of the last page."""
    mixes = []
    plot_mixes = preview.plot_mixes

    def kept(given, **settings):
        mixes[:] = given
        return plot_mixes(mixes, **settings)

    monkeypatch.setattr(preview, "plot_mixes", kept)
    return mixes


def page(tmp_path, *arguments):
    return main(["preview", *map(str, arguments), "-o", str(tmp_path / "page.png")])


def test_no_image_is_mixed_with_itself_and_each_is_primary_once_before_any_is_twice(tmp_path, drawn):
    root = layouts.write_coco(tmp_path / "set")  # three images with boxes
    assert page(tmp_path, root, "-n", "12") == 0
    assert all(mix.primary_name != mix.partner_name for mix in drawn)
    primaries = [mix.primary_name for mix in drawn]
    assert all(sorted(primaries[begin : begin + 3]) == ["0", "1", "3"] for begin in range(0, 12, 3))
    assert {mix.partner_name for mix in drawn} == {"0", "1", "3"}


def test_partners_follow_a_law_and_may_be_background(tmp_path, drawn):
    root = layouts.write_coco(tmp_path / "set")  # image 2 has no boxes
    assert page(tmp_path, root, "-n", "6", "--partners", "background:1") == 0
    assert {mix.partner_name for mix in drawn} == {"2"}
    assert {mix.primary_name for mix in drawn} == {"0", "1", "3"}
    assert page(tmp_path, root, "-n", "40", "--partners", "background:0.5") == 0
    assert {mix.partner_name for mix in drawn} == {"0", "1", "2", "3"}
    assert 10 < sum(mix.partner_name == "2" for mix in drawn) < 30
    assert all(mix.primary_name != mix.partner_name for mix in drawn)


def test_a_set_of_one_image_is_mixed_with_itself(tmp_path, drawn):
    root = layouts.write_coco(tmp_path / "set")
    damage.emptied(root / "images" / "0.png", None)
    damage.emptied(root / "images" / "1.png", None)
    assert page(tmp_path, root, "-n", "2", "--on-unreadable", "skip") == 0
    assert {(mix.primary_name, mix.partner_name) for mix in drawn} == {("3", "3")}


def test_unreadable_images_are_skipped_and_counted_or_stop(tmp_path, capsys, drawn):
    root = layouts.write_coco(tmp_path / "set")
    damage.web_page(root / "images" / "1.png", None)
    assert page(tmp_path, root, "-n", "8") == 2
    assert "is an HTML page" in capsys.readouterr().err
    assert not (tmp_path / "page.png").exists()
    assert page(tmp_path, root, "-n", "8", "--on-unreadable", "skip") == 0
    assert capsys.readouterr().out.endswith(f"(8 mixes of {root}; skipped 1 image that cannot be read)\n")
    assert {name for mix in drawn for name in (mix.primary_name, mix.partner_name)} == {"0", "3"}
    for name in ("0.png", "3.png"):
        damage.emptied(root / "images" / name, None)
    assert page(tmp_path, root, "--on-unreadable", "skip") == 2
    assert "image must be readable" in capsys.readouterr().err


def test_ratios_are_drawn_as_asked(tmp_path, drawn):
    for options, low, high in (
        (["--ratio-range", "0.2", "0.3"], 0.2, 0.3),
        (["--ratio-range", "0.5", "0.5"], 0.5, 0.5),
        (["--alpha", "1000"], 0.4, 0.6),
    ):
        assert page(tmp_path, "-n", "6", *options) == 0
        assert all(low <= mix.ratio <= high for mix in drawn)
        weights = {round(float(weight), 5) for mix in drawn for weight in mix.mixed["mixup_weight"]}
        expected = {round(float(np.float32(share)), 5) for mix in drawn for share in (mix.ratio, 1 - mix.ratio)}
        assert weights <= expected


@pytest.mark.parametrize("fit_mode", ["contain", "cover", "canvas"])
def test_a_mix_says_which_boxes_are_the_partners(fit_mode, tmp_path, drawn):
    root = layouts.write_coco(tmp_path / "set")
    assert page(tmp_path, root, "-n", "6", "--fit-mode", fit_mode) == 0
    for mix in drawn:
        of_partner = np.array(mix.mixed["of_partner"], bool)
        assert list(of_partner[: len(mix.primary["bboxes"])]) == [False] * len(mix.primary["bboxes"])
        assert of_partner[len(mix.primary["bboxes"]) :].all()
        weight = float(mix.primary["mixup_weight"][0]) * mix.ratio
        assert mix.mixed["mixup_weight"][0] == pytest.approx(weight, rel=1e-5)


def test_as_many_mixes_as_fit_a_page_and_no_more(tmp_path, capsys, drawn):
    root = layouts.write_coco(tmp_path / "set")
    assert page(tmp_path, root, "-n", MOST + 1) == 2
    assert f"-n must be 1 to {MOST}" in capsys.readouterr().err
    assert page(tmp_path, root, "-n", MOST) == 0
    assert len(drawn) == MOST


@pytest.mark.parametrize("name", exports.MAKERS)
def test_what_tools_export_is_checked_previewed_and_generated_from(name, tmp_path, capsys):
    expected = exports.MAKERS[name](tmp_path / "export")
    root = str(tmp_path / "export")
    assert main(["check", root]) == 0, capsys.readouterr()
    assert page(tmp_path, root, "-n", "2") == 0
    for output_format in ("coco", "yolo", "voc"):
        folder = tmp_path / output_format
        assert main(["generate", root, str(folder), "--format", output_format]) == 0
        assert len(alb_mixup.open_dataset(folder)) == len(expected.boxes)
        assert main(["check", str(folder)]) == 0
    assert "Traceback" not in capsys.readouterr().err
