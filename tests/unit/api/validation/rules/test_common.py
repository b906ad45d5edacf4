import pytest

from finetune_api.validation.rules.common import inside, quantity


@pytest.mark.parametrize(
    ("text", "number"), [("2", 2), ("500m", 0.5), ("1.5Gi", 1.5 * 2**30), ("8G", 8e9), ("1Ki", 1024)]
)
def test_a_quantity_is_read_as_kubernetes_reads_it(text, number):
    assert quantity(text) == number


def test_a_path_is_inside_itself_and_its_parents_but_not_its_namesakes():
    assert inside("/data", "/data")
    assert inside("/data/a/b", "/data")
    assert not inside("/database", "/data")
