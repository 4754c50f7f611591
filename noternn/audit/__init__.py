"""What a sample copies: which of its notes stand in a corpus, where, and whether real pieces do the same."""

from noternn.audit.against import Against, Reference, is_run, load, reference_of_run
from noternn.audit.index import Audit, Index, Passage
from noternn.audit.yardstick import Figures, Yardstick

__all__ = [
    "Against",
    "Audit",
    "Figures",
    "Index",
    "Passage",
    "Reference",
    "Yardstick",
    "is_run",
    "load",
    "reference_of_run",
]
