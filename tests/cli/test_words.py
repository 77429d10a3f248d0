"""Messages in the shell's words, options in the shell's manner."""

import warnings

import pytest

import alb_mixup
from alb_mixup.cli import main
from alb_mixup.cli.words import in_shell_words
from alb_mixup.errors import AlbMixUpWarning
from tests.support import damage, layouts


@pytest.mark.parametrize(
    ("python", "shell"),
    [
        ("images must be a folder, got 'x': name it with images=",
         "--images must be a folder, got 'x': name it with --images"),
        ("path must be a dataset, got x: choose with layout= one of coco, voc",
         "SRC must be a dataset, got x: choose with --layout one of coco, voc"),
        ("classes must be names, or None, got []: name each", "--classes must be names, got []: name each"),
        ("split must be None, got 'x': leave it out", "--split must be left out, got 'x': leave it out"),
        ("split must be one of a, b, got None for x", "--split must be one of a, b, got nothing for x"),
        ("keep_difficult must be False for YOLO, got True: leave it out",
         "--keep-difficult must be left out for YOLO, got it: leave it out"),
        ("drop_weights must be True for masks, got False: add it",
         "--drop-weights must be given for masks, got nothing: add it"),
        ("the field must be None or a name, got None", "the field must be None or a name, got None"),
        ("data must be a data.yaml, got /data/x: in data.yaml", "SRC must be a data.yaml, got /data/x: in data.yaml"),
        ("pass on_invalid='drop' or on_invalid=\"clip\".", "pass --on-invalid drop or --on-invalid clip."),
        ("take ratio_range=(0.45, 0.55), or min_weight=0.3", "take --ratio-range 0.45 0.55, or --min-weight 0.3"),
        ("keep_difficult=True keeps them", "--keep-difficult keeps them"),
        ("made with alpha=[1.5, 1.5] (now [2, 2])", "made with --alpha [1.5, 1.5] (now [2, 2])"),
        ("destination must be a folder, output_format='voc'", "DST must be a folder, --format voc"),
        ("got /data/images=5/split=val.json: correct it", "got /data/images=5/split=val.json: correct it"),
        ("the images must be there, and the split too", "the images must be there, and the split too"),
    ],
)  # fmt: skip
def test_arguments_are_named_as_the_shell_names_them(python, shell):
    assert in_shell_words(python) == shell


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["chek", "x"], "COMMAND must be one of check, preview, generate, convert, got 'chek': did you mean check?"),
        (["xyz"], "COMMAND must be one of check, preview, generate, convert, got 'xyz'"),
        ([], "COMMAND must be given, got nothing"),
        (["check"], "SRC must be given, got nothing (alb-mixup check --help says more)"),
        (["check", "x", "--splt", "train"], "got '--splt': did you mean --split?"),
        (["check", "x", "--qiet"], "got '--qiet': did you mean --quiet?"),
        (
            ["check", "x", "--layout", "cocoa"],
            "--layout must be one of coco, yolo, voc, got 'cocoa': did you mean coco?",
        ),
        (["generate", "x", "y", "--format", "yole"], "--format must be one of coco, yolo, voc, got 'yole'"),
        (["generate", "x", "y", "--workers", "0"], "--workers must be at least 1, got 0"),
        (["generate", "x", "y", "--workers", "two"], "--workers must be a whole number, got 'two'"),
        (["generate", "x", "y", "--min-weight", "1.5"], "--min-weight must be a number in [0, 1], got '1.5'"),
        (["generate", "x", "y", "--ratio-range", "0.6", "0.4"], "--ratio-range must be None or a pair"),
        (["generate", "x", "y", "--val", "z"], "--val must come with --format yolo, got 'z' alone: add it"),
        (["preview", "--alpha", "nan"], "--alpha must be a number above 0, got 'nan'"),
        (["preview", "--images", "z"], "--images must come with SRC, got 'z' alone"),
        (["check", "x", "y", "z"], "arguments must be those of alb-mixup check, got 'y'"),
    ],
)
def test_a_mistyped_command_is_one_line_that_helps(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("alb-mixup: ")
    assert says in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("command", ["check", "preview", "generate"])
def test_help_has_examples_and_exit_codes(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    said = capsys.readouterr().out
    assert f"  alb-mixup {command}" in said.partition("examples:")[2]
    assert "exit codes:" in said


def test_an_argument_is_refused_before_the_dataset_is_read(tmp_path, capsys):
    root = layouts.write_coco(tmp_path / "set")
    (root / "annotations.json").write_text("not JSON")
    for arguments in (["--multiplier", "0"], ["--ratio-range", "1", "0"], ["--val", "x"], ["--address", "auto"]):
        assert main(["generate", str(root), str(tmp_path / "mixed"), *arguments]) == 2
        assert f"alb-mixup: {arguments[0]} must" in capsys.readouterr().err


def test_invalid_annotations_are_told_of_in_one_sentence_of_the_shell(tmp_path, capsys):
    root = layouts.write_yolo(tmp_path / "set")
    (root / "labels" / "train" / "2.txt").write_text("0 0.5 0.5 7 7\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AlbMixUpWarning)
        assert main(["generate", str(root), str(tmp_path / "mixed")]) == 0
        said = capsys.readouterr().err
        assert said.startswith(
            "alb-mixup: warning: 1 invalid annotation left out, such as labels/train/2.txt, object 0"
        )
        assert said.endswith("(`alb-mixup check` names all)\n")
        assert said.count("\n") == 1
        assert main(["generate", str(root), str(tmp_path / "mixed"), "--quiet"]) == 0
        assert capsys.readouterr() == ("", "")
        assert main(["generate", str(root), str(tmp_path / "other"), "--on-invalid", "raise"]) == 2
    said = capsys.readouterr().err
    assert "--on-invalid" in said
    assert "on_invalid" not in said


@pytest.mark.parametrize("command", ["generate", "convert"])
def test_a_dataset_of_which_nothing_is_left_is_named_as_the_shell_names_it(command, tmp_path, capsys):
    root = layouts.write_yolo(tmp_path / "set")
    for path in (root / "labels" / "train").iterdir():
        path.write_bytes(b"\xff\xfe")
    assert main([command, str(root), str(tmp_path / "out"), "--quiet"]) == 2
    said = f"alb-mixup: SRC must have an image that can be used, got none in {root}: correct what is invalid there\n"
    assert capsys.readouterr().err == said


def test_a_set_of_another_dataset_is_not_told_apart_by_hashes(tmp_path, capsys):
    root = layouts.write_yolo(tmp_path / "set")
    arguments = ["generate", str(root), str(tmp_path / "mixed"), "--quiet"]
    assert main(arguments) == 0
    (root / "labels" / "train" / "0.txt").write_text("0 .5 .5 .1 .1\n")
    assert main(arguments) == 2
    assert capsys.readouterr().err.endswith(
        f"got {tmp_path / 'mixed'}, made with another dataset: take another folder\n"
    )


def test_options_of_reading_reach_the_reader(tmp_path, capsys):
    root = layouts.write_coco(tmp_path / "set")
    (root / "images").rename(root / "pictures")
    assert main(["check", str(root), "-q"]) == 2
    assert "--images" in capsys.readouterr().err
    names = tmp_path / "names.txt"
    names.write_text("Ünïcode 猫\ncat\n\nsmall dog & <co>\n", encoding="utf-8")
    common = ["check", str(root), "--images", str(root / "pictures"), "--layout", "coco"]
    (root / "annotations.json").rename(root / "labels.txt.json")
    common += ["--annotations", str(root / "labels.txt.json")]
    for classes in (str(names), "Ünïcode 猫, cat,small dog & <co>"):
        assert main([*common, "--classes", classes, "--json"]) == 0
        assert '"\\u00dcn\\u00efcode \\u732b": 1,\n    "cat": 2' in capsys.readouterr().out
    assert main([*common, "--classes", "cat"]) == 1
    capsys.readouterr()
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe")
    assert main([*common, "--classes", str(names)]) == 2
    assert "--classes must be a text file in UTF-8" in capsys.readouterr().err


def test_hard_labels_are_warned_of_with_the_options_that_help(tmp_path, capsys):
    root = str(layouts.write_coco(tmp_path / "set"))
    assert main(["generate", root, str(tmp_path / "a"), "--drop-weights"]) == 0
    assert "take --ratio-range 0.45 0.55, or --min-weight 0.3" in capsys.readouterr().err
    for number, options in enumerate((["--ratio-range", "0.45", "0.55"], ["--min-weight", "0.3"], ["--alpha", "32"])):
        assert main(["generate", root, str(tmp_path / str(number)), "--drop-weights", *options]) == 0
        assert capsys.readouterr().err == ""


def test_an_unreadable_image_stops_with_the_option_that_skips(tmp_path, capsys):
    root = layouts.write_coco(tmp_path / "set")
    damage.web_page(root / "images" / "1.png", None)
    command = ["generate", str(root), str(tmp_path / "mixed"), "--multiplier", "2"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "is an HTML page" in said
    assert said.endswith("; --on-unreadable skip leaves such images out\n")
    assert main([*command, "--on-unreadable", "skip"]) == 0
    assert capsys.readouterr().err == (
        "alb-mixup: warning: 2 of 8 outputs are left out, for their images cannot be read (skipped.csv has them all): "
        "1.png is an HTML page\n"
    )


def test_val_reaches_the_data_yaml(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "val").mkdir()
    root = str(layouts.write_coco(tmp_path / "set"))
    assert main(["generate", root, "mixed", "--format", "yolo", "--val", "val"]) == 0
    assert f"val: {tmp_path}/val\n" in (tmp_path / "mixed" / "data.yaml").read_text()
    assert main(["generate", root, "other", "--format", "yolo", "--val", "nowhere"]) == 2
    assert "--val must be a folder of images" in capsys.readouterr().err


def test_what_nobody_foresaw_is_one_line_too(tmp_path, capsys, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("of another kind")

    monkeypatch.setattr("alb_mixup.cli.check.survey", fails)
    assert main(["check", str(alb_mixup.sample_dataset().root)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("alb-mixup: RuntimeError: of another kind")
    assert said.count("\n") == 1
    monkeypatch.setenv("ALB_MIXUP_DEBUG", "1")
    with pytest.raises(RuntimeError, match="of another kind"):
        main(["check", str(alb_mixup.sample_dataset().root)])
