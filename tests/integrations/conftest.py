"""What tests of several integrations use."""

import pytest

from alb_mixup.generation.journal import Journal


@pytest.fixture
def added(monkeypatch):
    """Numbers of the outputs that the driver has noted."""
    numbers, add = [], Journal.add

    def noted(journal, records):
        numbers.extend(record["number"] for record in records)
        add(journal, records)

    monkeypatch.setattr(Journal, "add", noted)
    return numbers
