from __future__ import annotations

from noternn.music.remarks import MAX_KINDS, Remark, Remarks, kinds


def test_a_remark_counts_and_names_its_first_place() -> None:
    remarks = Remarks()
    remarks.add("trills not played", "bar 3")
    remarks.add("trills not played", "bar 9")
    remarks.add("hits ended", number=1_177)
    assert [str(remark) for remark in remarks.list()] == [
        "2 trills not played (first: bar 3)",
        "1,177 hits ended",
    ]


def test_a_hostile_file_cannot_make_endless_kinds() -> None:
    remarks = Remarks()
    for i in range(MAX_KINDS + 10):
        remarks.add(f"unknown sign {i}", f"line {i}")
    found = remarks.list()
    assert len(found) == MAX_KINDS + 1
    assert found[-1] == Remark("other things not understood", 10)


def test_remarks_on_many_pieces_are_added_up_by_kind() -> None:
    found = kinds(
        {
            "a": (Remark("trills not played", 2, "bar 3"), Remark("grace notes dropped", 1)),
            "b": (Remark("grace notes dropped", 5, "line 7"),),
        }
    )
    assert [str(kind) for kind in found] == [
        "6 grace notes dropped in 2 pieces (first: a)",
        "2 trills not played in 1 piece (first: a, bar 3)",
    ]
