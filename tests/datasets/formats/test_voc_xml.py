import re

import pytest

from alb_mixup.datasets.formats.voc_xml import VocObject, read_voc_file
from tests.support.voc_files import voc_object, voc_xml


def read(tmp_path, xml, *, keep_difficult=False):
    path = tmp_path / "a.xml"
    path.write_bytes(xml if isinstance(xml, bytes) else xml.encode())
    return read_voc_file(path, keep_difficult=keep_difficult)


CAT = VocObject("cat", (3, 4, 20, 15), 1)
XML = voc_xml(voc_object())


@pytest.mark.parametrize(
    "xml",
    [
        XML,
        b"\xef\xbb\xbf" + XML.encode(),
        b"\xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?>\r\n" + XML.replace("><", ">\r\n<").encode(),
        XML.replace("><", ">\n\t<").encode("utf-16"),
        "<?xml version='1.0' encoding='latin-1'?>" + XML,
        "<!DOCTYPE annotation>" + XML,
        XML.replace("<name>cat</name>", "<name>\n cat </name>").replace(">3<", "> 3.0\n<"),
    ],
)
def test_encodings_and_white_space(tmp_path, xml):
    assert read(tmp_path, xml) == ((30, 40), [CAT])


def test_names_with_spaces_and_beyond_ascii(tmp_path):
    names = ["traffic light", "Käfer", "猫", "R&D <x>"]
    assert [item.name for item in read(tmp_path, voc_xml(*map(voc_object, names))).objects] == names


def test_parts_are_not_objects_and_lend_them_nothing(tmp_path):
    part = "<part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>"
    whole = voc_object().replace("<object>", f"<object>{part}") + f"<object><name>bare</name>{part}</object>"
    assert read(tmp_path, voc_xml(whole)).objects == [CAT, "'bare' has no <bndbox>"]


@pytest.mark.parametrize("text", ["1", " 1 ", "true"])
def test_difficult(tmp_path, text):
    xml = voc_xml(voc_object(extra=f"<difficult>{text}</difficult>"), voc_object("dog"))
    dog = CAT._replace(name="dog")
    assert read(tmp_path, xml).objects == [None, dog]
    assert read(tmp_path, xml, keep_difficult=True).objects == [CAT, dog]


@pytest.mark.parametrize("text", ["0", "", "Unspecified"])
def test_not_difficult(tmp_path, text):
    assert read(tmp_path, voc_xml(voc_object(extra=f"<difficult>{text}</difficult>"))).objects == [CAT]


def test_a_difficult_object_is_left_out_before_it_is_found_faulty(tmp_path):
    assert read(tmp_path, voc_xml("<object><difficult>1</difficult></object>")).objects == [None]


def test_weight(tmp_path):
    xml = voc_xml(voc_object(extra="<mixup_weight>0.25</mixup_weight>"), voc_object(extra="<mixup_weight/>"))
    assert [item.weight for item in read(tmp_path, xml).objects] == [0.25, 1]


@pytest.mark.parametrize(
    "size",
    ["", "<size/>", "<size><width>40</width></size>", "<size><width>0</width><height>0</height></size>"]
    + [f"<size><width>{width}</width><height>30</height></size>" for width in ("-40", "x", "nan", "inf", "1e12")],
)
def test_a_size_that_says_nothing(tmp_path, size):
    assert read(tmp_path, f"<annotation>{size}</annotation>").size is None


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("<object/>", "it has no <name>"),
        (voc_object(" "), "it has no <name>"),
        ("<object><name>cat</name></object>", "'cat' has no <bndbox>"),
        (voc_object(box=(1, 2, 3, "x")), "'cat' has a box or weight that is missing or no number: .*'x'"),
        (voc_object().replace("<ymax>15</ymax>", ""), "'cat' has a box or weight that is missing or no number"),
        (voc_object(extra="<mixup_weight>much</mixup_weight>"), "'cat' has a box or weight .*'much'"),
    ],
)
def test_faulty_objects(tmp_path, item, reason):
    found = read(tmp_path, voc_xml(item, voc_object()))
    assert found.objects[1] == CAT
    assert re.match(reason, found.objects[0])


BOMB = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (BOMB + "]><annotation>&j;</annotation>", "unsafe XML is refused: EntitiesForbidden"),
        ('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;</annotation>', "unsafe XML is refused"),
        ("<annotation>", "unreadable XML: no element found"),
        ("", "unreadable XML: no element found"),
        ("{}", "unreadable XML: "),
        (b"\x00\xff\x13", "unreadable XML: "),
        ("<?xml version='1.0' encoding='utf-8'?><annotation>é</annotation>".encode("latin-1"), "unreadable XML: "),
        ("<?xml version='1.0' encoding='none-such'?><annotation/>", "unreadable XML: .*"),
        ("<?xml version='1.0' encoding='gbk'?><annotation/>", "unreadable XML: .*"),
        ("<html/>", "not a Pascal VOC annotation: the root element is not <annotation>"),
    ],
)
def test_unreadable_files(tmp_path, xml, reason):
    with pytest.raises(ValueError, match=f"^{reason}"):
        read(tmp_path, xml)


def test_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"^cannot be read: No such file"):
        read_voc_file(tmp_path / "a.xml", keep_difficult=False)


def test_deep_nesting_does_no_harm(tmp_path):
    deep = "<x>" * 200_000 + "</x>" * 200_000
    assert read(tmp_path, voc_xml(deep, voc_object())).objects == [CAT]
