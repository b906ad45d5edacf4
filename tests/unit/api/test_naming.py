import re

import pytest

from finetune_api.naming import JOB_NAME, is_job_name


@pytest.mark.parametrize("name", ["a", "dates-2", "d" * 40])
def test_dns_labels_with_room_for_a_suffix_are_job_names(name):
    assert is_job_name(name)


@pytest.mark.parametrize("name", ["", "1a", "a.b", "A", "-a", "a-", "d" * 41, "a\n"])
def test_other_names_are_not(name):
    assert not is_job_name(name)


def test_cel_has_the_same_rule():
    length, form = JOB_NAME.holds.split(" && ")
    assert length == "self.metadata.name.size() <= 40"
    pattern = re.search(r"matches\('(.*)'\)", form)
    assert pattern is not None
    assert re.fullmatch(pattern[1], "dates-2")
