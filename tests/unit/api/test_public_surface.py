import subprocess
import sys

import finetune_api


def test_the_public_names_are_these():
    assert sorted(finetune_api.__all__) == sorted(
        [
            "API_VERSION",
            "GROUP",
            "VERSION",
            "AttemptStatus",
            "Condition",
            "ConditionType",
            "ExitCode",
            "FineTuneJob",
            "FineTuneJobSpec",
            "FineTuneJobStatus",
            "FineTuneReport",
            "Finding",
            "InvalidJobError",
            "ObjectMeta",
            "Phase",
            "ProgressReport",
            "Reason",
            "ResolvedJob",
            "TrainerStatus",
            "TrainingResult",
            "check_manifest",
            "lineage_hash",
            "parse_job",
            "resolve",
            "validate_job",
        ]
    )


def test_every_public_name_is_there():
    assert [name for name in finetune_api.__all__ if not hasattr(finetune_api, name)] == []


def test_importing_the_api_brings_in_nothing_heavy():
    script = "import sys, finetune_api; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "kubernetes", "kopf", "aiohttp", "yaml", "numpy", "hypothesis"}
    assert heavy & set(run.stdout.split()) == set()
