"""A manifest file yields its jobs and the ConfigMaps beside them; anything else is refused in plain words."""

from pathlib import Path

import pytest

from finetune_cli.manifests import load
from finetune_cli.yaml_reader import Position, YamlError

JOB = "apiVersion: finetune.dev/v1alpha1\nkind: FineTuneJob\nmetadata: {name: a}\n"


def written(tmp_path: Path, text: str) -> str:
    file = tmp_path / "manifest.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_jobs_and_config_maps_are_found_and_other_kinds_left_alone(tmp_path: Path) -> None:
    text = (
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n---\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: data}\ndata:\n  a.jsonl: |\n    {}\n---\n"
        f"{JOB}---\n{JOB.replace('name: a', 'name: b')}---\n"
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\n"
    )
    manifest = load(written(tmp_path, text))
    assert [job.name for job in manifest.jobs] == ["a", "b"]
    assert manifest.config_maps == {"data": {"a.jsonl": "{}\n"}}


def test_the_items_of_a_list_count_as_documents(tmp_path: Path) -> None:
    indented = JOB.replace("\n", "\n  ")
    manifest = load(written(tmp_path, f"apiVersion: v1\nkind: List\nitems:\n- {indented}"))
    assert manifest.jobs[0].name == "a"
    assert manifest.jobs[0].document.locate("metadata.name") == Position(6, 14)


@pytest.mark.parametrize(
    ("text", "code", "position", "remedy"),
    [
        (JOB.replace("FineTuneJob", "FinetuneJob"), "WrongKind", Position(2, 1), "Write kind: FineTuneJob."),
        (JOB.replace("v1alpha1", "v1"), "WrongVersion", Position(1, 1), "v1alpha1"),
        ("kind: FineTuneJob\n", "NoKind", Position(1, 1), "apiVersion: finetune.dev/v1alpha1"),
        ("apiVersion: v1\nkind: 3\n", "NoKind", Position(2, 1), "kind: FineTuneJob"),
        ("apiVersion: v1\nkind: FineTuneJobs\n", "WrongKind", Position(2, 1), "Did you mean FineTuneJob?"),
        ("- 1\n- 2\n", "NotAnObject", Position(1, 1), "Start with apiVersion"),
        ("just text\n", "NotAnObject", Position(1, 1), "Start with apiVersion"),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
            "NoFineTuneJob",
            Position(1, 1),
            "Name a file that holds one.",
        ),
        (
            f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{k: 1}}\n---\n{JOB}",
            "InvalidConfigMap",
            Position(4, 1),
            "Quote the values",
        ),
        *(
            (
                f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{{key}: x}}\n---\n{JOB}",
                "InvalidConfigMap",
                Position(4, 1),
                "do not begin with two dots",
            )
            for key in ("../../up", "/etc/motd", "..", ".", "a/b")
        ),
    ],
)
def test_what_is_no_manifest_is_refused(
    tmp_path: Path, text: str, code: str, position: Position, remedy: str
) -> None:
    with pytest.raises(YamlError) as caught:
        load(written(tmp_path, text))
    assert (caught.value.code, caught.value.position) == (code, position)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("FineTuneJob", "{}"),
        ("FineTunePreset", "{title: T, values: {}}"),
    ],
)
def test_two_objects_of_one_kind_and_name_are_refused(tmp_path: Path, kind: str, body: str) -> None:
    text = f"apiVersion: finetune.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {body}\n"
    with pytest.raises(
        YamlError, match=rf"the {kind} 'a' is there twice; it first stands at line 1, column 1"
    ) as caught:
        load(written(tmp_path, f"{text}---\n{text}"))
    assert (caught.value.code, caught.value.position) == ("DuplicateObject", Position(8, 12))


def test_two_config_maps_of_one_name_are_refused(tmp_path: Path) -> None:
    data = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: data}\n---\n"
    with pytest.raises(YamlError, match="the ConfigMap 'data' is there twice"):
        load(written(tmp_path, data + data + JOB))


def test_one_name_in_two_namespaces_is_two_jobs(tmp_path: Path) -> None:
    elsewhere = JOB.replace("name: a", "name: a, namespace: other")
    assert len(load(written(tmp_path, f"{JOB}---\n{elsewhere}")).jobs) == 2


def test_jobs_without_a_name_are_not_taken_for_one_another(tmp_path: Path) -> None:
    nameless = JOB.replace("name: a", "generateName: a-")
    assert len(load(written(tmp_path, f"{nameless}---\n{nameless}")).jobs) == 2
