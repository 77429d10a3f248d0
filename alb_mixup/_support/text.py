"""Text from files, made harmless for a terminal."""


def printable(text: str) -> str:
    r"""Write what a terminal would act on, or cannot show, as an escape.

    Args:
        text: A class name, a path, a reason: whatever came from a file.

    Returns:
        One line: line breaks, ESC and other control characters, direction marks and lone surrogates are written as
        Python writes them, such as `\x1b`; everything else stays.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Count something in words: "1 image", "1,200 images".

    Args:
        count: How many.
        noun: What, in the singular.
        plural: Its plural, where that is not the noun with an s.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
