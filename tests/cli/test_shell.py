"""The program as a process: encodings, pipes, full disks, Ctrl-C, narrow terminals. No traceback, ever."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import alb_mixup
from tests.support import ROOT, layouts

ALONE = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "LC_", "LANG", "COLUMNS"))}
ENCODINGS = {
    "utf-8": {"PYTHONIOENCODING": "utf-8"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "strict": {"PYTHONIOENCODING": "ascii:strict"},
    "C": {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"},
    "narrow": {"PYTHONIOENCODING": "cp1252", "COLUMNS": "30"},
}


def start(*arguments, environment=(), **settings):
    command = [sys.executable, "-m", "alb_mixup", *map(str, arguments)]
    own = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings
    return subprocess.Popen(command, env=ALONE | {"PYTHONPATH": str(ROOT)} | dict(environment), **own)


def run(*arguments, **settings):
    process = start(*arguments, **settings)
    out, err = process.communicate(timeout=120)
    assert b"Traceback" not in (err or b"")
    return process.returncode, out, err


@pytest.fixture
def source(tmp_path):
    return layouts.write_coco(tmp_path / "Ünïcode 猫 source")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *((command, name) for command in ("check", "wrong") for name in ENCODINGS),
        *((command, name) for command in ("preview", "generate", "help") for name in ("strict", "cp1252")),
    ],
)
def test_whatever_the_encoding_it_says_what_it_did(command, name, source, tmp_path):
    arguments = {
        "check": ["check", source],
        "preview": ["preview", source, "-n", "1", "-o", tmp_path / "λ 猫.png"],
        "generate": ["generate", source, tmp_path / "λ 猫"],
        "help": ["preview", "--help"],
        "wrong": ["check", tmp_path / "猫 is not here"],
    }[command]
    code, out, err = run(*arguments, environment=ENCODINGS[name])
    assert code == (2 if command == "wrong" else 0)
    assert (err if command == "wrong" else out).strip()
    if command == "check":
        text = out.decode("utf-8" if name == "utf-8" else "cp1252")
        assert ("█" if name == "utf-8" else "#") in text
        assert ("Ünïcode 猫" if name == "utf-8" else r"\u732b") in text
        if name == "narrow":
            assert max(len(line) for line in text.splitlines() if "#" in line) <= 31


@pytest.mark.parametrize("arguments", [["check"], ["--help"], ["check", "--help"], ["--version"]])
def test_a_reader_that_has_read_enough_is_no_error(arguments, source):
    read, write = os.pipe()
    os.close(read)
    code, _, err = run(*arguments, *([source] if arguments == ["check"] else []), stdout=write)
    os.close(write)
    assert (code, err) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_an_error_in_one_line(source, tmp_path):
    with open("/dev/full", "wb") as full:
        code, _, err = run("check", source, stdout=full)
        assert code == 2
        assert (
            err == b"alb-mixup: stdout must take the output, got an error: No space left on device; send it elsewhere\n"
        )
        assert run("check", tmp_path / "nowhere", stderr=full)[0] == 2


def test_streams_that_are_closed_from_the_start(source):
    for streams in (">&-", "2>&-", ">&- 2>&-"):
        script = f'exec "{sys.executable}" -m alb_mixup check "$1" {streams}'
        environment = ALONE | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(["sh", "-c", script, "sh", source], env=environment, capture_output=True, check=False)
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False)


def test_a_pipe_for_stderr_gets_no_bar(tmp_path):
    code, out, err = run("generate", alb_mixup.sample_dataset().root, tmp_path / "mixed", "--multiplier", "3")
    assert (code, err) == (0, b"")
    assert out.count(b"\n") == 1
    assert run("preview", "-n", "3", "-o", tmp_path / "page.png")[2] == b""


def interrupted(process, moment):
    """Send Ctrl-C to the whole group, as a terminal does, once `moment()` is true."""
    while process.poll() is None and not moment():
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err.decode()


def children_of(process):
    try:
        return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    except OSError:
        return []


def maps_of(pid):
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""


MOMENTS = {
    "importing numpy": lambda process, root: "numpy" in maps_of(process.pid),
    "importing OpenCV": lambda process, root: "cv2" in maps_of(process.pid),
    "the first worker starts": lambda process, root: len(children_of(process)) >= 2,  # beside the resource tracker
    "a worker imports": lambda process, root: any("numpy" in maps_of(child) for child in children_of(process)),
    "outputs are written": lambda process, root: any(root.rglob("mixup_*.jpg")),
}


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_is_one_line_at_any_moment(moment, tmp_path):
    root = tmp_path / "mixed"
    arguments = ["generate", alb_mixup.sample_dataset().root, root, "--workers", "3", "--multiplier", "60"]
    process = start(*arguments, start_new_session=True)
    code, out, err = interrupted(process, lambda: MOMENTS[moment](process, root))
    assert (code, out) == (130, b"")
    assert err.startswith("alb-mixup: interrupted")
    assert err.count("\n") == 1


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
@pytest.mark.parametrize("command", ["check", "preview"])
def test_ctrl_c_while_images_are_read(command, tmp_path):
    source = layouts.write_coco(tmp_path / "source")
    options = ["-n", "100", "-o", tmp_path / "page.png"] if command == "preview" else []
    library = "matplotlib" if command == "preview" else "yaml"
    process = start(command, source, *options, start_new_session=True)
    code, _, err = interrupted(process, lambda: library in maps_of(process.pid))
    assert "Traceback" not in err
    assert (code, err) == (130, "alb-mixup: interrupted\n") or (code, err) == (0, "")


def test_ctrl_c_while_a_library_executes_a_string(tmp_path):
    """As dataclasses do: Python notes Ctrl-C, and would end the program by the signal, although caught."""
    executed = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
    (tmp_path / "matplotlib.py").write_text(f"exec({executed!r})")
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    code, _, err = run("preview", "-o", tmp_path / "page.png", environment={"PYTHONPATH": paths})
    assert (code, err) == (130, b"alb-mixup: interrupted\n")


def test_python_m_is_the_same_program():
    assert run("--version") == (0, f"alb-mixup {alb_mixup.__version__}\n".encode(), b"")


def test_a_program_of_anybody_else_keeps_its_own_ctrl_c():
    code = "import signal, alb_mixup; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "True\n"
