"""`python -m finetune_trainer`: `launch` a node's ranks, `run` one rank, `check-data`, `generate` answers."""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from finetune_api.resolved import ResolvedJob
from finetune_trainer import results
from finetune_trainer.cpus import set_threads
from finetune_trainer.errors import InterruptedRunError, InvalidConfigError, TrainerError
from finetune_trainer.interruption import end_with_parent

if TYPE_CHECKING:
    from finetune_api.stages import SamplingSpec

log = logging.getLogger("finetune_trainer")

CHATTY: Final = ("httpx", "httpx2", "filelock", "DeepSpeed", "torch.distributed")
"""Loggers of libraries. The HTTP clients tell every address, with the query that signs it."""


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="finetune_trainer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in {"launch": "start and watch this node's ranks", "run": "be one rank"}.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--job", type=Path, required=True, help="the resolved job, a JSON file")
    check = commands.add_parser("check-data", help="say what would be trained on, without a model")
    check.add_argument("--job", type=Path, required=True, help="the resolved job, a JSON file")
    check.add_argument("--format", choices=("text", "json", "html", "samples"), default="text")
    check.add_argument("--out", type=Path, help="file to write; standard output when absent")
    check.add_argument("--samples", type=int, default=3, help="records to show as the model sees them")
    generate = commands.add_parser("generate", help="answer prompts with a model")
    generate.add_argument("--model", required=True, help="directory or hub id of the model")
    generate.add_argument("--adapter", type=Path, help="directory of an adapter on that model")
    generate.add_argument("--prompts", type=Path, help="file of JSON lines with a `prompt` or `messages`")
    generate.add_argument("--out", type=Path, help="with --prompts: its lines, each with an `answer` added")
    generate.add_argument("--prompt", help="one prompt; without it and --prompts, lines of standard input")
    generate.add_argument("--system", help="system prompt")
    generate.add_argument("--plain", action="store_true", help="go on with the text instead of answering it")
    generate.add_argument("--max-new-tokens", type=int, default=64)
    generate.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token")
    generate.add_argument("--top-p", type=float, default=1.0)
    generate.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args(arguments)

    log_to_stderr()
    if options.command == "generate":
        if (options.prompts is None) != (options.out is None):
            generate.error("--prompts and --out go together")
        if options.prompts is not None and options.plain:
            generate.error("--plain goes on with a --prompt, and the lines of --prompts are asked")
        return _generate(options)
    try:
        job = read_job(options.job)
    except InvalidConfigError as error:
        log.error("%s", error)
        results.write_result(results.failure(error), results.termination_message_file())
        return int(error.exit_code)
    if options.command == "check-data":
        return _check(job, options)
    return _train(options.command, job, options.job)


def log_to_stderr() -> None:
    """What is worth a line, and of some libraries only what is wrong."""
    rank = os.environ.get("RANK")
    logging.basicConfig(
        level=logging.INFO,
        format=f"%(asctime)s %(levelname)s {f'[rank {rank}] ' if rank else ''}%(name)s: %(message)s",
        stream=sys.stderr,
        force=True,
    )
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # it would fetch another kernel from the hub, and says at each start that it can't
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def read_job(file: Path) -> ResolvedJob:
    """The resolved job in a file. Raises `InvalidConfigError`."""
    try:
        return ResolvedJob.model_validate_json(file.read_bytes(), by_alias=True, by_name=False)
    except OSError as error:
        raise InvalidConfigError(f"--job {file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise InvalidConfigError(f"--job {file} is no resolved job: {error}") from error


def _check(job: ResolvedJob, options: argparse.Namespace) -> int:
    from finetune_trainer.data.check import command

    try:
        return command.run(job, form=options.format, out=options.out, samples=options.samples)
    except TrainerError as error:
        log.error("%s", error)
        return int(error.exit_code)


def _generate(options: argparse.Namespace) -> int:
    _log_answers_only()
    try:
        if options.prompts is None:
            _talk(options)
        else:
            _answer(options)
    except TrainerError as error:
        log.error("%s", error)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _log_answers_only() -> None:
    """Somebody waits for an answer, and bars are none."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    # it has a handler of its own, and would say everything twice
    logging.getLogger("huggingface_hub").propagate = False


def _answer(options: argparse.Namespace) -> None:
    from finetune_trainer.output.sample import answer_file

    answer_file(
        options.model,
        options.adapter,
        options.prompts,
        options.out,
        _sampling(options),
        batch_size=options.batch_size,
        system=options.system,
    )


def _sampling(options: argparse.Namespace) -> "SamplingSpec":
    from finetune_api.stages import SamplingSpec

    try:
        return SamplingSpec(
            max_new_tokens=options.max_new_tokens, temperature=options.temperature, top_p=options.top_p
        )
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise InvalidConfigError(f"--{option}: {first['input']}: {first['msg']}") from error


def _talk(options: argparse.Namespace) -> None:
    from finetune_trainer.output.chat import Talk, places

    adapter = str(options.adapter) if options.adapter is not None else None
    sampling = _sampling(options)
    where = places(options.model, adapter)
    talk = Talk.load(where, sampling, sys.stdout, system=options.system, plain=options.plain)
    if options.prompt is not None:
        talk.say(options.prompt)
        return
    asks = sys.stdin.isatty()
    if asks:
        print("/new forgets what was said, /quit ends.", file=sys.stderr)
    talk.listen(sys.stdin, lambda: print("> ", end="", file=sys.stderr, flush=True) if asks else None)


def _train(command: str, job: ResolvedJob, file: Path) -> int:
    set_threads(job.processes_per_node)
    if job.device == "cpu":
        # libraries prefer a GPU that they see to what they are told
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    signal.signal(signal.SIGTERM, _leave)
    if command == "run":
        end_with_parent()
    if command == "launch" and job.processes_per_node * job.nodes > 1:
        from finetune_trainer.launcher import launch

        return launch(job, file)
    from finetune_trainer.rank import run

    return run(job)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Ends at once, while libraries are imported and there is nothing to save yet."""
    error = InterruptedRunError("told to end before the start")
    results.write_result(results.failure(error), results.termination_message_file())
    os._exit(error.exit_code)


def end(status: int) -> None:
    """Ends the process with this status. After a failure nothing else gets a say in it: what CUDA and NCCL do
    at exit may wait for ranks that are gone, or end the process by a signal that says nothing."""
    if status == 0:
        sys.exit()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    # transformers imports Comet wherever it is installed, which costs each rank seconds; trackers have
    # processes of their own
    sys.modules["comet_ml"] = None  # type: ignore[assignment]
    end(main())
