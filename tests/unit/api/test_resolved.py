import pytest

from finetune_api.resolved import resolve


def test_in_a_cluster_everything_lies_on_the_mounts(make_job):
    resolved = resolve(make_job(), 2)
    assert resolved.paths.run_directory == "/finetune/storage/dates"
    assert resolved.paths.output_directory == "/finetune/storage/dates/output"
    assert resolved.paths.train == "/finetune/data/train/train.jsonl"
    assert resolved.paths.eval is None
    assert (resolved.job.name, resolved.job.namespace, resolved.job.uid) == ("dates", "team", "0b1c")
    assert (resolved.attempt, resolved.device) == (2, "cpu")


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ({"path": "/data/train.jsonl"}, "/data/train.jsonl"),
        ({"configMap": {"name": "data", "key": "train.csv"}}, "/finetune/data/train/train.csv"),
        ({"hub": {"id": "a/b"}}, None),
    ],
)
def test_a_data_source_becomes_a_path_where_it_is_a_file(make_job, source, path):
    assert resolve(make_job({"dataset.train": source}), 1).paths.train == path


@pytest.mark.parametrize(
    ("changes", "ranks", "device"),
    [
        ({}, 1, "cpu"),
        ({"resources.accelerators.perNode": 4}, 4, "cuda"),
        ({"distributed": {"nodes": 2, "processesPerNode": 3}}, 6, "cpu"),
        ({"resources.accelerators.perNode": 4, "distributed.processesPerNode": 2}, 2, "cuda"),
    ],
)
def test_ranks_follow_processes_then_accelerators(make_job, changes, ranks, device):
    resolved = resolve(make_job(changes), 1)
    assert (resolved.world_size, resolved.device) == (ranks, device)


def test_the_effective_batch_counts_all_ranks(make_job):
    changes = {
        "distributed": {"nodes": 2, "processesPerNode": 3},
        "training.microBatchSize": 2,
        "training.gradientAccumulationSteps": 4,
    }
    assert resolve(make_job(changes), 1).effective_batch_size == 48


def test_ranks_on_several_nodes_meet_at_pod_0_of_the_attempt(make_job):
    assert resolve(make_job({"distributed.nodes": 2}), 3).master.address == "dates-3-0.dates-3"
    assert resolve(make_job(), 3).master.address == "127.0.0.1"


def test_the_run_directory_can_be_chosen(make_job):
    resolved = resolve(make_job({"checkpoints.storage.subPath": "team/run7"}), 1)
    assert resolved.paths.run_directory == "/finetune/storage/team/run7"


def test_the_output_can_go_to_another_volume(make_job):
    changes = {"output.storage": {"claimName": "models"}}
    assert resolve(make_job(changes), 1).paths.output_directory == "/finetune/output/dates"


def test_on_one_machine_the_caller_chooses_the_places(make_job):
    job = make_job({"output.storage": {"claimName": "models"}, "distributed.nodes": 2})
    resolved = resolve(job, 1, run_directory="/home/me/run", master_address="127.0.0.1", device="cuda")
    assert resolved.paths.run_directory == "/home/me/run"
    assert resolved.paths.output_directory == "/home/me/run/output"
    assert (resolved.master.address, resolved.device) == ("127.0.0.1", "cuda")


def test_questions_of_benchmarks_lie_where_their_volumes_are_mounted(make_job):
    job = make_job(
        {
            "evaluation.benchmarks": [
                {"name": "tasks", "type": "lmEvaluationHarness", "tasks": ["arc_easy"]},
                {
                    "name": "own",
                    "type": "prompts",
                    "prompts": {"configMap": {"name": "questions", "key": "q.jsonl"}},
                },
            ]
        }
    )
    assert resolve(job, 1).paths.benchmarks == {"own": "/finetune/data/benchmark-1/q.jsonl"}
