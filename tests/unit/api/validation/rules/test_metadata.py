import pytest

NAME = ("error", "InvalidName", "metadata.name")


def test_a_plain_name_is_accepted(brief):
    assert brief({"metadata.name": "dates-2"}) == []


@pytest.mark.parametrize("name", ["Dates", "1dates", "dates-", "dates.v2", "d" * 41, "dates_2"])
def test_a_name_that_pods_and_services_cannot_carry_is_refused(brief, name):
    assert brief({"metadata.name": name}) == [NAME]


def test_a_name_of_forty_characters_is_accepted(brief):
    assert brief({"metadata.name": "d" * 40}) == []


def test_a_job_without_any_name_is_refused(brief):
    assert brief({"metadata.name": None}) == [("error", "MissingField", "metadata.name")]


def test_a_name_that_the_api_server_will_complete_is_enough(brief):
    assert brief({"metadata.name": None, "metadata.generateName": "dates-"}) == []
