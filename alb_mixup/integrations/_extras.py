"""What an integration needs beside this package."""

from collections.abc import Iterator
from contextlib import contextmanager

from alb_mixup.errors import AlbMixUpError, InstallationError


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Import a framework inside of it, and where that is missing, name the command that installs it.

    Args:
        extra: The extra of this package that brings the framework, such as "torch".

    Raises:
        InstallationError: Something cannot be imported.
    """
    try:
        yield
    except ImportError as error:
        if isinstance(error, AlbMixUpError):  # of another integration, which this one uses
            raise
        raise InstallationError(
            f'the {extra} integration must find what it needs, got "{error}": pip install "alb-mixup[{extra}]"'
        ) from error
