"""What a sample copies: which of its notes stand in a corpus, where, and whether real pieces do the same."""

from noternn.audit.against import Against, Reference, is_run, load, reference_of_run
from noternn.audit.curve import FILE_NAME, choose_checkpoint, copied_after, held_out_limit, note_audit
from noternn.audit.index import Audit, Index, Passage
from noternn.audit.yardstick import Figures, Yardstick

__all__ = [
    "FILE_NAME",
    "Against",
    "Audit",
    "Figures",
    "Index",
    "Passage",
    "Reference",
    "Yardstick",
    "choose_checkpoint",
    "copied_after",
    "held_out_limit",
    "is_run",
    "load",
    "note_audit",
    "reference_of_run",
]
