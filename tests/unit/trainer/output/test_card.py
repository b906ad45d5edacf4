"""The model card: facts that the hub and people can read, and nothing that is not theirs."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from finetune_api import ResolvedJob, parse_job
from finetune_api.dataset import DataSource
from finetune_api.status import BenchmarkStatus, EvaluationStatus, OutputStatus
from finetune_trainer.output.card import Facts, describe_data, licence_of, public_manifest, write_card
from finetune_trainer.output.export import Chosen
from finetune_trainer.output.merge import Base

MakeJob = Callable[..., ResolvedJob]


def facts(job: ResolvedJob, **changes: Any) -> Facts:
    known: dict[str, Any] = {
        "job": job,
        "base": Base("meta-llama/Llama-2-7b-hf"),
        "output": OutputStatus(kind="adapter", path="run/output/adapter", verified=True),
        "steps": 4,
        "chosen": Chosen(4),
        "metrics": {"loss": "0.25", "evalLoss": "0.5"},
        "effective": {"precision": "bf16"},
        "evaluation": EvaluationStatus(
            benchmarks=[
                BenchmarkStatus(
                    name="sums", scores={"exactMatch": "0.75"}, base={"exactMatch": "0.1"}, samples=20
                )
            ]
        ),
        "data": "train.jsonl, 12 bytes, SHA-256 `abc`",
    }
    return Facts(**known | changes)


def test_the_hub_reads_base_licence_and_scores(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job({"model": {"id": "meta-llama/Llama-2-7b-hf"}, "method": {"type": "lora"}})
    write_card(facts(job), tmp_path, merged=False)
    data = ModelCard.load(tmp_path / "README.md").data
    assert (data.base_model, data.license, data.library_name, data.pipeline_tag) == (
        "meta-llama/Llama-2-7b-hf",
        "llama2",
        "peft",
        "text-generation",
    )
    [result] = data.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == ("sums", "exactMatch", 0.75)
    write_card(facts(job), tmp_path, merged=True)
    assert ModelCard.load(tmp_path / "README.md").data.library_name == "transformers"


def code_in(card: Path) -> str:
    return card.read_text().split("```python\n")[1].split("\n```")[0]


def test_the_code_in_the_card_loads_the_revision_that_was_trained(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job({"model": {"id": "me/base", "revision": "0a1b2c"}, "method": {"type": "lora"}})
    write_card(facts(job, base=Base(str(tmp_path))), tmp_path, merged=False)
    assert code_in(tmp_path / "README.md").splitlines()[-4:] == [
        'base = AutoModelForCausalLM.from_pretrained("me/base", revision="0a1b2c")',
        "# the base may know no end of an answer but that of a text",
        'base.generation_config = GenerationConfig.from_pretrained("THIS_DIRECTORY")',
        'model = PeftModel.from_pretrained(base, "THIS_DIRECTORY")',
    ]
    write_card(facts(job, base=Base(str(tmp_path))), tmp_path, merged=True)
    last = 'model = AutoModelForCausalLM.from_pretrained("THIS_DIRECTORY")'
    assert code_in(tmp_path / "README.md").splitlines()[-1] == last


def test_the_card_of_a_reward_model_is_that_of_a_classifier(make_job: MakeJob, tmp_path: Path) -> None:
    spec = {"model": {"id": "me/base"}, "method": {"type": "lora"}, "training": {"stage": "rm"}}
    write_card(facts(make_job(spec), base=Base(str(tmp_path))), tmp_path, merged=False)
    data = ModelCard.load(tmp_path / "README.md").data
    assert data.pipeline_tag == "text-classification"
    lines = code_in(tmp_path / "README.md").splitlines()
    assert lines[1] == "from transformers import AutoModelForSequenceClassification, AutoTokenizer"
    assert lines[3:] == [
        'base = AutoModelForSequenceClassification.from_pretrained("me/base", num_labels=1)',
        "# the score is that of the last token that is no padding",
        'base.config.pad_token_id = AutoTokenizer.from_pretrained("THIS_DIRECTORY").pad_token_id',
        'model = PeftModel.from_pretrained(base, "THIS_DIRECTORY")',
    ]


def test_people_read_data_metrics_manifest_and_versions(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job({"training": {"learningRate": 0.0123}})
    write_card(facts(job), tmp_path, merged=False)
    text = (tmp_path / "README.md").read_text()
    for fact in (
        "| training data | train.jsonl, 12 bytes, SHA-256 `abc` |",
        "| evalLoss | 0.5 |",
        "| precision | bf16 |",
        "| sums | exactMatch | 0.75 | 0.1 | 20 |",
        "finetune run job.yaml",
        "learningRate: 0.0123",
        "| torch | ",
    ):
        assert fact in text


def test_the_card_says_whose_weights_they_are(make_job: MakeJob, tmp_path: Path) -> None:
    for chosen, told in ((4, "4"), (2, "2, the best checkpoint by loss of a run of 4 steps")):
        write_card(facts(make_job(), chosen=Chosen(chosen)), tmp_path, merged=False)
        assert f"| optimizer steps | {told} |" in (tmp_path / "README.md").read_text()


def test_the_manifest_in_the_card_is_one_that_can_be_applied(make_job: MakeJob) -> None:
    import yaml

    job = make_job({"training": {"learningRate": 0.0123}})
    parsed = parse_job(yaml.safe_load(public_manifest(job)))
    assert parsed.spec.training.learning_rate == 0.0123
    assert parsed.spec.dataset == job.spec.dataset


def test_nothing_secret_is_in_the_manifest(make_job: MakeJob) -> None:
    job = make_job(
        {
            "resources": {"env": [{"name": "API_KEY", "value": "secret-1"}]},
            "dataset": {
                "train": {
                    "path": None,
                    "http": {"url": "https://me:secret-2@example.org/t.jsonl?sig=secret-3"},
                }
            },
        }
    )
    text = public_manifest(job)
    assert "secret-" not in text
    assert "https://example.org/t.jsonl" in text


def test_data_is_named_with_the_hash_of_its_content(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("{}\n")
    digest = sha256(b"{}\n").hexdigest()
    source = DataSource(path=str(file))
    assert describe_data(source, str(file)) == f"a.jsonl, 3 bytes, SHA-256 `{digest}`"
    (tmp_path / "b.jsonl").write_text("{}\n")
    both = describe_data(source, str(tmp_path))
    assert both.startswith("2 files, 6 bytes")
    (tmp_path / "b.jsonl").write_text("[]\n")
    assert describe_data(source, str(tmp_path)) != both
    hub = DataSource.from_json_object({"hub": {"id": "a/b", "split": "test"}})
    assert describe_data(hub, None) == "a/b on the hub, split test, revision main"


@pytest.mark.parametrize(
    ("card", "licence"), [("---\nlicense: mit\n---\nText", "mit"), ("No front matter", None), (None, None)]
)
def test_the_licence_is_that_of_the_base_s_own_card(
    tmp_path: Path, card: str | None, licence: str | None
) -> None:
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert licence_of(Base(str(tmp_path))) == licence
