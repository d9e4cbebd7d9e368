"""The version of fiqa_fast that runs, as it stands in every result."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("fiqa-fast")
except PackageNotFoundError:  # imported from a source tree that was never installed
    __version__ = "0+unknown"
