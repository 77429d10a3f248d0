"""Some damage; `python -m tests.generation.damage` does it ten thousand times."""

from tests.generation.damage import damage


def test_damage_is_mended_or_refused(tmp_path):
    found = damage(120, 7, tmp_path)
    assert found["mended"] > 20
    assert found["refused"] > 10
