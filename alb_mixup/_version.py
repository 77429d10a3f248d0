"""The version of this package, in a module that imports nothing: the build reads it, and so do plans of sets."""

__version__ = "0.2.0"
