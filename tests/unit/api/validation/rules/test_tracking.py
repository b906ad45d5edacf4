def test_a_tracker_needs_a_project(brief):
    changes = {"tracking.trackers": [{"type": "wandb"}]}
    assert brief(changes) == [("error", "Requires", "tracking.project")]
    assert brief(changes | {"tracking.project": "dates"}) == []
