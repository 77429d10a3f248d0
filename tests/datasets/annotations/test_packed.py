import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alb_mixup.datasets.annotations.packed import PackedStrings, offsets_of


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_strings_come_back_as_they_went_in(names):
    packed = PackedStrings.pack(names)
    assert [packed[number] for number in range(len(names))] == names


def test_a_file_name_that_is_no_utf8_survives():
    name = "caf\udce9.jpg"  # what os.listdir makes of the latin-1 bytes b"caf\xe9.jpg"
    assert PackedStrings.pack(["a", name, "b"])[1] == name


def test_strings_are_arrays_whatever_their_number():
    packed = PackedStrings.pack(["ab", "", "ü"])
    assert packed.data.dtype == np.uint8
    assert packed.offsets.tolist() == [0, 2, 2, 4]


def test_offsets():
    assert offsets_of([]).tolist() == [0]
    assert offsets_of(np.array([2, 0, 3])).tolist() == [0, 2, 2, 5]
    assert offsets_of([1]).dtype == np.int64
