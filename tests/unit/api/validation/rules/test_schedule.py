import pytest


@pytest.mark.parametrize(("steps", "fits"), [(99, True), (100, False), (101, False)])
def test_the_warm_up_ends_within_the_run(brief, steps, fits):
    found = brief({"training.maxSteps": 100, "training.schedule.warmupSteps": steps})
    assert found == ([] if fits else [("error", "Conflict", "training.schedule.warmupSteps")])


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("stableRatio", 0.8, "warmupStableDecay"),
        ("startLearningRateRatio", 0.1, "cosine"),
        ("minLearningRateRatio", 0.1, "cosine"),
        ("cycles", 3, "cosineWithRestarts"),
        ("power", 2.0, "polynomial"),
        ("patience", 2, "reduceOnPlateau"),
        ("factor", 0.5, "reduceOnPlateau"),
    ],
)
def test_a_setting_belongs_to_its_schedule(brief, field, value, kind):
    path = f"training.schedule.{field}"
    assert brief({path: value, "training.schedule.type": kind, "dataset.evalSplit": 0.1}) == []
    assert brief({path: value, "training.schedule.type": "linear"}) == [("error", "Conflict", path)]


@pytest.mark.parametrize("without", [{"warmupRatio": 0.0}, {"warmupSteps": 0}])
def test_a_rate_to_begin_with_has_a_warm_up(brief, without):
    path = "training.schedule.startLearningRateRatio"
    none = {f"training.schedule.{field}": value for field, value in without.items()}
    assert ("error", "Conflict", path) in brief({path: 0.1} | none)
    assert brief({path: 0.1, "training.schedule.warmupSteps": 4}) == []


@pytest.mark.parametrize(("stable", "fits"), [(0.85, True), (0.9, False), (0.95, False)])
def test_warm_up_and_stable_phase_fit_into_the_run(brief, stable, fits):
    path = "training.schedule.stableRatio"
    changes = {
        path: stable,
        "training.schedule.type": "warmupStableDecay",
        "training.schedule.warmupRatio": 0.1,
    }
    assert brief(changes) == ([] if fits else [("error", "Conflict", path)])
