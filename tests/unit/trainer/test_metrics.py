"""metrics.jsonl: every step once, also after a resume."""

import json
from pathlib import Path

import pytest
import torch

from finetune_trainer.metrics import MetricsFile, Stopwatch, Window, memory_bytes, perplexity


def steps(file: MetricsFile) -> list[int]:
    return [json.loads(line)["step"] for line in file.path.read_text().splitlines()]


def test_a_window_is_the_mean_of_its_steps_and_the_rates_of_its_time() -> None:
    window = Window()
    window.add(2.0, tokens=100, samples=4, seconds=0.5)
    window.add(4.0, tokens=300, samples=4, seconds=1.5)
    assert window.close() == (3.0, 200.0, 4.0)
    assert window.losses == []


def test_perplexity_is_e_to_the_loss_and_never_too_large_for_a_float() -> None:
    assert perplexity(0.0) == 1.0
    assert perplexity(2.0) == pytest.approx(7.389056, rel=1e-6)
    assert perplexity(1e9) < float("inf")


def test_lines_are_stamped_and_appended(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    file.append({"step": 1, "loss": 2.5})
    file.append({"step": 2, "loss": 2.0})
    first = json.loads(file.path.read_text().splitlines()[0])
    assert (first["step"], first["loss"]) == (1, 2.5)
    assert first["time"].endswith("+00:00")


def test_a_resume_drops_the_steps_that_will_be_done_again(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    for step in (10, 20, 30):
        file.append({"step": step, "loss": 1.0})
    assert file.begin(20).items() >= {"step": 20, "loss": 1.0}.items()
    assert steps(file) == [10, 20]


def test_a_resume_goes_on_with_the_newest_value_of_everything(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    for line in ({"step": 1, "loss": 3.0}, {"step": 1, "evalLoss": 2.5}, {"step": 2, "loss": 2.0}):
        file.append(line)
    newest = file.begin(2)
    assert (newest["loss"], newest["evalLoss"]) == (2.0, 2.5)


def test_a_line_that_was_cut_off_by_a_crash_is_dropped(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    file.append({"step": 10, "loss": 1.0})
    with file.path.open("a") as torn:
        torn.write('{"step": 20, "lo')
    file.begin(20)
    assert steps(file) == [10]


def test_bytes_that_a_disk_has_spoilt_cost_their_lines_and_not_the_run(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    file.path.write_bytes(b'{"step": 1}\n{"step": \xff\x00}\n{"step": 2}\n')
    file.begin(2)
    assert steps(file) == [1, 2]


def test_the_curve_of_a_run_that_is_put_aside_is_not_lost(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    file.set_aside(tmp_path / "checkpoints-before-now")
    file.append({"step": 1, "loss": 1.0})
    file.set_aside(tmp_path / "checkpoints-before-now")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics-before-now.jsonl"]


def test_a_new_run_begins_without_a_file(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    assert file.begin(0) == {}
    assert not file.path.exists()


def test_what_is_not_a_number_never_reaches_the_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        MetricsFile(tmp_path).append({"step": 1, "loss": float("nan")})


def test_memory_on_cpu_is_what_the_process_holds() -> None:
    now, peak = memory_bytes(torch.device("cpu"))
    assert 10_000_000 < now <= peak


def test_a_stopwatch_counts_from_the_last_lap() -> None:
    watch = Stopwatch()
    assert 0 <= watch.lap() < 5
    watch.restart()
    assert 0 <= watch.lap() < 5
