"""A loss that runs away is said, once, where no limit ends the run; and so is its return."""

import json
import math
import random
from dataclasses import replace

import pytest

from finetune_api.training import TrainingSpec
from finetune_trainer.data.sampling import GlobalOrder
from finetune_trainer.training.watch import FIRST_RECORDS, Watch, watch

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
    assert word.startswith("step 39: the loss (median of 20 steps) is 9 and was 2, more than 2 times as much")
    assert "failurePolicy.divergence could end it" in word
    assert watching.steps == 182
    assert watching.last_word is not None
    assert "left its curve at step 39 and has not come back" in watching.last_word


def test_a_loss_that_climbs_slowly_is_said_when_it_has_doubled() -> None:
    (word,) = said([2.0 + 0.01 * step for step in range(400)])
    assert "is 4.005 and was 2, more than 2 times as much" in word


def test_a_loss_that_is_back_for_a_whole_window_is_said_too_and_is_no_last_word() -> None:
    watching = Watch(WINDOW)
    words = said([*QUIET, *[9.0] * 25, *QUIET, *QUIET], watching)
    assert words[1:] == ["the loss was off its curve from step 39 to 55, and is back"]
    assert watching.last_word is None


def test_a_loss_that_goes_to_and_fro_is_not_said_over_and_over() -> None:
    assert len(said([*QUIET, *([9.0] * 20 + [2.0] * 8) * 50])) == 1


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
    assert said(noisy, Watch(100, FIRST_RECORDS)) == []


@pytest.mark.parametrize("window", [20, 100])
@pytest.mark.parametrize("seed", range(5))
def test_two_kinds_of_records_are_no_news(seed: int, window: int) -> None:
    """Answers of a word and essays, one record a step: the median of a window is of one kind or the other, by
    chance, and that was once said to be a loss that has doubled."""
    chance = random.Random(seed)
    kinds = [chance.choice([0.4, 2.4]) * chance.lognormvariate(0, 0.1) for _ in range(10 * window)]
    assert said(kinds, Watch(window, FIRST_RECORDS)) == []


@pytest.mark.parametrize("seed", range(5))
def test_hard_records_among_easy_ones_are_no_news(seed: int) -> None:
    """As in a real run over sums that were learnt by heart and words that nobody can guess: three of the
    latter in a row were once said to be outliers."""
    chance = random.Random(seed)
    losses = [chance.choice([0.02, 0.02, 3.0]) * chance.lognormvariate(0, 0.4) for _ in range(1000)]
    assert said(losses, Watch(40, FIRST_RECORDS)) == []


def test_a_model_that_is_spoilt_before_a_window_is_full_is_said() -> None:
    """A rate that is too high does it in a few steps: what comes after them is a quiet curve."""
    (word,) = said([1.4, 2.9, *[7.0, 7.1] * 150])
    assert word.startswith("step 21: the loss (median of 20 steps) is 7 and was 1.4")


def test_a_high_loss_of_the_first_records_alone_is_none_to_begin_from() -> None:
    assert said([0.5, 2.0, 1.9, 2.1] + [1.8] * 100, Watch(WINDOW, first=4)) == []


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


ORDER = GlobalOrder(size=28, global_batch=4, seed=1)


@pytest.mark.parametrize(("steps", "window"), [(30, 20), (600, 60), (50_000, 100)])
def test_the_window_is_a_share_of_the_run(steps: int, window: int) -> None:
    found = watch(TrainingSpec(max_steps=steps), ORDER)
    assert found is not None
    assert said([1.0] * (window // 2) + [9.0] * (window // 2 - 1), found) == []
    (word,) = said([9.0] * window, found)
    assert f"median of {window} steps" in word


@pytest.mark.parametrize(
    ("order", "news"),
    [(ORDER, 1), (replace(ORDER, global_batch=1), 0), (replace(ORDER, lengths=[7] * 28), 0)],
    ids=["one step", "four steps", "the longest"],
)
def test_the_first_four_records_are_the_start_unless_they_are_the_longest(
    order: GlobalOrder, news: int
) -> None:
    assert len(said([1.0, *[7.0] * 100], watch(TrainingSpec(max_steps=200), order))) == news


def test_losses_around_zero_and_of_records_in_an_order_of_their_own_say_nothing() -> None:
    assert watch(TrainingSpec(stage="grpo"), ORDER) is None
    assert watch(TrainingSpec(sampling="sequential"), replace(ORDER, shuffle=False)) is None


def test_a_checkpoint_of_a_trainer_that_knew_no_levels_is_gone_on_from() -> None:
    watching = Watch(WINDOW)
    watching.restore({"steps": 3, "calm": 0, "since": 7})
    assert watching.last_word is not None
    assert said([2.0] * WINDOW, watching) == ["the loss was off its curve from step 7 to 0, and is back"]
