"""What happens to image files: each kind takes the path of a sound image and a random generator."""

import os

import cv2


def cut_short(path, random):
    data = path.read_bytes()
    path.write_bytes(data[: random.integers(1, len(data) - 2)])


def emptied(path, random):
    path.write_bytes(b"")


def web_page(path, random):
    path.write_bytes(b"<!DOCTYPE html><html><body>404</body></html>\n")


def lfs_pointer(path, random):
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n")


def sides_swapped(path, random):
    cv2.imwrite(str(path), cv2.imread(str(path)).transpose(1, 0, 2).copy())


def resized(path, random):
    cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (33, 21)))


def removed(path, random):
    path.unlink()


def dangling(path, random):
    path.unlink()
    path.symlink_to("nowhere.jpg")


def a_folder(path, random):
    path.unlink()
    path.mkdir()


def a_pipe(path, random):
    path.unlink()
    os.mkfifo(path)


def zeroed(path, random):
    path.write_bytes(bytes(len(path.read_bytes())))


def another_format(path, random):
    """Sound, whatever its suffix says."""
    written = path.with_name("other.bmp")
    cv2.imwrite(str(written), cv2.imread(str(path)))
    written.rename(path)


def padded(path, random):
    """Sound: what follows the picture is nobody's business."""
    path.write_bytes(path.read_bytes() + b"\0" * 100)


def bits_flipped(path, random):
    """Somewhere in the pixels, where headers say nothing of it."""
    data = bytearray(path.read_bytes())
    for position in random.integers(len(data) // 2, len(data) - 20, 8):
        data[position] ^= 1 << int(random.integers(8))
    path.write_bytes(bytes(data))


SIZED = (sides_swapped, resized)  # what only an annotation that states a size contradicts
FATAL = (cut_short, emptied, web_page, lfs_pointer, dangling, a_folder, a_pipe, zeroed)
SOUND = (another_format, padded)
