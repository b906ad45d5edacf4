"""Settings: one file, checked in full, with errors that name field, value and rule."""

from pathlib import Path

import pytest

from finetune_operator.settings import Settings, SettingsError, load_settings

MINIMAL = "namespace: system\ntrainer: {image: 'trainer:1'}\n"


def load(tmp_path: Path, text: str, **environ: str) -> Settings:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    return load_settings(path, environ)


def test_a_minimal_file_is_enough(tmp_path: Path) -> None:
    settings = load(tmp_path, MINIMAL)
    assert settings.status_url == "https://finetune-operator.system.svc:8443"
    assert settings.watch_namespaces == ()


def test_jobs_are_checked_at_admission_only_where_that_is_asked_for(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL).webhook is None
    webhook = load(tmp_path, MINIMAL + "webhook: {configuration: finetune-operator}").webhook
    assert webhook is not None
    assert (webhook.port, webhook.configuration) == (9443, "finetune-operator")


def test_the_pod_knows_its_own_name_and_namespace(tmp_path: Path) -> None:
    settings = load(tmp_path, "trainer: {image: x}", POD_NAMESPACE="own", POD_NAME="pod-1")
    assert (settings.namespace, settings.instance) == ("own", "pod-1")


def test_the_file_wins_over_the_pod(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL, POD_NAMESPACE="own").namespace == "system"


def test_other_variables_of_the_environment_mean_nothing(tmp_path: Path) -> None:
    settings = load(tmp_path, MINIMAL, FINETUNE_OPERATOR_PORT="tcp://10.0.0.1:8443", WORKERS="1")
    assert settings.workers == 8


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (MINIMAL + "workers: 0", "workers: 0: Input should be greater than or equal to 1"),
        (MINIMAL + "wrokers: 1", "wrokers: 1: Extra inputs are not permitted"),
        (MINIMAL + "statusServer: {port: 70000}", "statusServer.port: 70000"),
        (MINIMAL + "hardware: {pue: 0.5}", "hardware.pue: 0.5"),
        (MINIMAL + "hardware: {region: atlantis}", "hardware.region: atlantis is not known. Use one of"),
        (MINIMAL + "hardware: {accelerators: [{name: x}]}", "x is not in the catalog, so it needs memoryGiB"),
        ("namespace: system", "trainer"),
        ("- a list", "a mapping is expected, not list"),
        ("a: [", "while parsing"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        load(tmp_path, text)
    assert complaint in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere.yaml"):
        load_settings(tmp_path / "nowhere.yaml", {})


def test_an_administrators_hardware_lies_over_the_catalog(tmp_path: Path) -> None:
    own = MINIMAL + "hardware: {pue: 1.1, accelerators: [{name: h100, usdPerHour: 1.5}]}"
    catalog = load(tmp_path, own).hardware_catalog
    h100 = catalog.find("h100")
    assert h100 is not None
    assert h100.price is not None
    assert (catalog.pue, h100.price.usd_per_hour) == (1.1, 1.5)
    assert load(tmp_path, MINIMAL).read_nodes
