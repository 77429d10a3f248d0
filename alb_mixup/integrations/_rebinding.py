"""A framework's own function, with another object under a global name that it uses."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

from alb_mixup.errors import InstallationError


def with_names(function: Callable[..., Any], **names: Any) -> Callable[..., Any]:
    """Return a function that finds other objects under some of the global names that it uses.

    It is the framework's code, in whichever version is installed, with our criterion or our IoU in it: nothing is
    copied, and nothing of the framework is changed.

    Args:
        function: A plain Python function, or a method taken from its class.
        names: The objects, by the global names that they replace.

    Raises:
        InstallationError: The function does not use such a name: this version of the framework is built otherwise.
    """
    code: Any = getattr(function, "__code__", None)
    missing = names.keys() - set(code.co_names if code else ())
    if missing:
        raise InstallationError(
            f"{function.__module__} must be of a version whose {function.__qualname__} uses {', '.join(missing)}, got "
            "one that does not: this alb_mixup does not know how to weight its loss; install another version of either"
        )
    scope = {**function.__globals__, **names}
    changed = FunctionType(code, scope, function.__name__, function.__defaults__, function.__closure__)
    changed.__kwdefaults__ = function.__kwdefaults__
    return changed
