"""Messages of Python's callers, said in the words of the shell's."""

import re

# Arguments that the shell calls something else than `--their-name`.
_OTHERS = {
    "path": "SRC",
    "data": "SRC",
    "root": "SRC",
    "dataset": "SRC",
    "destination": "DST",
    "output_format": "--format",
    "partner_weights": "--partners",
}
_OPTIONS = (
    "split", "layout", "images", "annotations", "classes", "on_invalid", "keep_difficult", "alpha", "ratio_range",
    "min_weight", "fit_mode", "seed", "multiplier", "workers", "image_format", "quality", "drop_weights", "val",
    "on_unreadable", "address", "pipeline", "include_originals", "masks", "keypoints",
)  # fmt: skip
_NAMES = "|".join((*_OTHERS, *_OPTIONS))
_SUBJECT = re.compile(rf"^({_NAMES})(?= must )")
_VALUE = re.compile(
    rf"(?<![\w/.])({_NAMES})=(?:(True)\b|'([^']*)'|\"([^\"]*)\"|\(([-\d.]+), ([-\d.]+)\)|(?=[\w\[-])|(?![\w=]))"
)
# What Python's callers give, and the shell's do not: told of the argument that a message begins with.
_PYTHON = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r" must be (?:None|False)\b(?! or )", " must be left out"),
        (r" must be True\b", " must be given"),
        (r", or None(?=, got )", ""),
        (r"(?<=, got )(?:None|False)(?=[ :,]|$)", "nothing"),
        (r"(?<=, got )True(?=[ :,]|$)", "it"),
    )
)


def in_shell_words(message: str) -> str:
    """Name arguments as the command line does: "images=" becomes "--images", "on_invalid='clip'" "--on-invalid clip".

    Args:
        message: An error's or warning's text.

    Returns:
        The text, its arguments renamed.
    """
    if _SUBJECT.match(message):
        message = _SUBJECT.sub(lambda match: _name(match[1]), message)
        for python, words in _PYTHON:
            message = python.sub(words, message, count=1)
    return _VALUE.sub(_assigned, message)


def _name(argument: str) -> str:
    return _OTHERS.get(argument, f"--{argument.replace('_', '-')}")


def _assigned(match: re.Match[str]) -> str:
    name, true, single, double, low, high = match.groups()
    quoted = single if single is not None else double
    if true:
        return _name(name)
    if quoted is not None:
        return f"{_name(name)} {quoted}"
    if low is not None:
        return f"{_name(name)} {low} {high}"
    follows = match.string[match.end() : match.end() + 1]
    return f"{_name(name)} " if re.match(r"[\w\[-]", follows) else _name(name)
