"""NoteRNN: train LSTMs on MIDI, see when they overfit, hear what they learned."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["Corpus", "Network", "__version__", "load", "read"]


def __getattr__(name: str) -> Any:
    """What `noternn.api` defines, imported when it is first asked for: `import noternn` costs nothing."""
    if name in ("Corpus", "Network", "load", "read"):
        return getattr(import_module("noternn.api"), name)
    raise AttributeError(f"module 'noternn' has no attribute {name!r}")
