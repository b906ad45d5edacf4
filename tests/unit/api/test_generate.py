from pathlib import Path

from finetune_api.generate import chart_template, differences, generated_files, main, write

ROOT = Path(__file__).parents[3]


def test_the_files_in_the_repository_are_what_the_models_say():
    assert differences(ROOT) == ""


def test_writing_twice_changes_nothing_the_second_time(tmp_path):
    assert write(tmp_path) == list(generated_files())
    assert write(tmp_path) == []
    assert main(["--check", "--root", str(tmp_path)]) == 0


def test_a_difference_is_shown_and_fails_the_check(tmp_path, capsys):
    write(tmp_path)
    page = tmp_path / "docs/reference/conditions.md"
    page.write_text(page.read_text(encoding="utf-8").replace("Diverged", "Exploded"), encoding="utf-8")
    assert main(["--check", "--root", str(tmp_path)]) == 1
    shown = capsys.readouterr().err
    assert "-| `Exploded` |" in shown
    assert "run `make generate`" in shown


def test_main_names_the_files_that_it_wrote(tmp_path, capsys):
    assert main(["--root", str(tmp_path)]) == 0
    assert "crds/finetune.dev_finetunejobs.yaml" in capsys.readouterr().out


def test_braces_in_a_description_do_not_reach_helm():
    template = chart_template("metadata:\n  name: x\ndescription: '{{ messages }}'\n")
    assert "{{ `{{` }} messages }}" in template
    assert template.startswith("# Generated")
    assert "{{- if .Values.crds.enabled }}" in template
    assert template.endswith("{{- end }}\n")
