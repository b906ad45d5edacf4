"""A loss that runs away is said, once, where no limit ends the run; and so is its return."""

import json
import math
import random

import pytest

from finetune_api.training import TrainingSpec
from finetune_trainer.watch import Watch, watch

WINDOW = 20
QUIET = [2.0, 2.1, 1.9, 2.0] * 5


def said(losses: list[float], watching: Watch | None = None) -> list[str]:
    """What a watch says of these losses, one after the other."""
    watching = watching or Watch(WINDOW)
    words = (watching.see(step, loss) for step, loss in enumerate(losses, start=1))
    return [word for word in words if word is not None]


def test_a_loss_that_jumps_and_stays_there_is_said_once() -> None:
    watching = Watch(WINDOW)
    (word,) = said([*QUIET, *[9.0] * 200], watching)
    assert word.startswith("step 23: 3 losses in a row are outliers: 9 is above 2.741")
    assert "the default watch's spikeDeviations: 10" in word
    assert "failurePolicy.divergence could end it" in word
    assert watching.steps == 198
    assert watching.last_word is not None
    assert "left its curve at step 23 and has not come back" in watching.last_word


def test_a_loss_that_climbs_slowly_is_said_when_it_has_doubled() -> None:
    (word,) = said([2.0 + 0.01 * step for step in range(400)])
    assert "the default watch's lossIncreaseFactor: 2" in word


def test_a_loss_that_is_back_for_a_whole_window_is_said_too_and_is_no_last_word() -> None:
    watching = Watch(WINDOW)
    words = said([*QUIET, *[9.0] * 5, *QUIET], watching)
    assert words[1:] == ["the loss was off its curve from step 23 to 25, and is back"]
    assert watching.last_word is None


def test_a_loss_that_goes_to_and_fro_is_not_said_over_and_over() -> None:
    assert len(said([*QUIET, *([9.0] * 4 + [2.0] * 4) * 50])) == 1


@pytest.mark.parametrize(
    "losses",
    [
        [3.0 * math.exp(-step / 300) + 0.5 for step in range(2000)],
        [1e-4] * 100 + [5e-2] * 2 + [1e-3] * 100,
        [*QUIET, 9.0, 9.0, *QUIET, 9.0, 9.0, *QUIET],
    ],
    ids=["falling", "learnt by heart", "bad batches"],
)
def test_what_happens_in_good_runs_is_no_news(losses: list[float]) -> None:
    assert said(losses) == []


@pytest.mark.parametrize("seed", range(5))
def test_noise_of_single_records_is_no_news(seed: int) -> None:
    """Losses of one record each, whose logarithm has a deviation of 0.5."""
    chance = random.Random(seed)
    noisy = [chance.lognormvariate(0.3, 0.5) for _ in range(3000)]
    assert said(noisy, Watch(100)) == []


def test_a_resumed_run_is_watched_as_if_it_had_never_stopped() -> None:
    losses = [*QUIET, *[9.0] * 5, *QUIET]
    whole = said(losses)
    for place in range(len(losses)):
        first = Watch(WINDOW)
        before = said(losses[:place], first)
        second = Watch(WINDOW)
        second.restore(json.loads(json.dumps(first.state())))
        after = [
            word
            for step, loss in enumerate(losses[place:], start=place + 1)
            if (word := second.see(step, loss))
        ]
        assert before + after == whole


@pytest.mark.parametrize(("steps", "window"), [(30, 20), (600, 60), (50_000, 100)])
def test_the_window_is_a_share_of_the_run(steps: int, window: int) -> None:
    found = watch(TrainingSpec(max_steps=steps), steps_per_epoch=7)
    assert found is not None
    assert said([1.0] * (window - 1) + [99.0] * 3, found) == []
    assert len(said([1.0] * window + [99.0] * 3, watch(TrainingSpec(max_steps=steps), 7))) == 1


def test_losses_around_zero_say_nothing() -> None:
    assert watch(TrainingSpec(stage="grpo"), steps_per_epoch=7) is None
