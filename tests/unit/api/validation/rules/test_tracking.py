import pytest

from finetune_api.validation.rules.tracking import tracking

TRACKERS = "tracking.trackers"
PROJECT = {"tracking.project": "dates"}


def test_a_tracker_needs_a_project(brief):
    changes = {TRACKERS: [{"type": "tensorboard"}]}
    assert brief(changes) == [("error", "Requires", "tracking.project")]
    assert brief(changes | PROJECT) == []


def test_a_tracker_is_suggested_where_there_is_none(make_job):
    [finding] = tracking(make_job(), "cluster")
    assert (finding.severity, finding.code, finding.path) == ("suggestion", "NoTracker", TRACKERS)
    assert list(tracking(make_job({TRACKERS: [{"type": "tensorboard"}]} | PROJECT), "cluster")) == []


@pytest.mark.parametrize(("kind", "variable"), [("wandb", "WANDB_API_KEY"), ("comet", "COMET_API_KEY")])
def test_a_public_tracker_wants_a_key(brief, kind, variable):
    secret = {"name": "keys", "key": "tracker"}
    warned = [("warning", "MissingApiKey", f"{TRACKERS}[0].apiKeySecret")]
    assert brief({TRACKERS: [{"type": kind}]} | PROJECT) == warned
    assert brief({TRACKERS: [{"type": kind, "apiKeySecret": secret}]} | PROJECT) == []
    assert brief({TRACKERS: [{"type": kind, "offline": True}]} | PROJECT) == []
    env = {"resources.env": [{"name": variable, "valueFrom": {"secretKeyRef": secret}}]}
    assert brief({TRACKERS: [{"type": kind}]} | PROJECT | env) == []


@pytest.mark.parametrize(
    ("url", "possible"),
    [
        ("./mlruns", False),
        ("file:///runs", False),
        ("/runs", False),
        ("sqlite:///runs.db", False),
        (None, True),
        ("https://x.org", True),
    ],
)
def test_mlflow_is_reached_by_its_server(brief, url, possible):
    found = brief({TRACKERS: [{"type": "mlflow", "url": url}]} | PROJECT)
    assert found == ([] if possible else [("error", "FileStore", f"{TRACKERS}[0].url")])


def test_phoenix_alone_shows_no_curves(brief):
    phoenix = {"type": "phoenix", "url": "http://phoenix:6006"}
    assert brief({TRACKERS: [phoenix]} | PROJECT) == [("warning", "NoCurves", TRACKERS)]
    assert brief({TRACKERS: [phoenix, {"type": "tensorboard"}]} | PROJECT) == []


SECRET = {"name": "keys", "key": "tracker"}
PHOENIX = {"type": "phoenix", "url": "http://phoenix:6006"}


@pytest.mark.parametrize(
    ("tracker", "refused"),
    [
        ({"type": "tensorboard", "url": "http://x.org"}, "url"),
        ({"type": "tensorboard", "apiKeySecret": SECRET}, "apiKeySecret"),
        ({"type": "tensorboard", "logArtifacts": True}, "logArtifacts"),
        (PHOENIX | {"logArtifacts": True}, "logArtifacts"),
        ({"type": "mlflow", "workspace": "team"}, "workspace"),
        ({"type": "trackio", "workspace": "team"}, "workspace"),
        (PHOENIX | {"workspace": "team"}, "workspace"),
        ({"type": "phoenix"}, "url"),
        (PHOENIX | {"offline": True}, "url"),
    ],
)
def test_what_a_tracker_does_not_have_is_refused(make_job, tracker, refused):
    found = tracking(make_job({TRACKERS: [tracker]} | PROJECT), "cluster")
    errors = [finding.path for finding in found if finding.severity == "error"]
    assert errors == [f"{TRACKERS}[0].{refused}"]
