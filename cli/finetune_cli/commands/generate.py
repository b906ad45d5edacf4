"""Answer prompts with a model, on this machine.

The model is a directory or an id on the hub: a full or merged model, or an adapter. An adapter names its
base; another base can be given as --model, with the adapter as --adapter. Without --prompt, each line of
standard input is a turn of a conversation; /new starts a new one, /quit ends it.

  finetune generate --model run/output/adapter --prompt "Say hello."
  finetune generate --model Qwen/Qwen3-0.6B --adapter run/output/adapter

exit status:
  0  answered  2  usage error  15  the model can't be loaded  1  anything else
"""

import argparse
import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from finetune_cli.argument_types import count
from finetune_cli.errors import CommandError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune generate`."""
    parser.add_argument("--model", required=True, metavar="MODEL", help="directory, or id on the hub")
    parser.add_argument("--adapter", metavar="DIR", help="directory of an adapter on that model")
    parser.add_argument("--prompt", metavar="TEXT", help="one prompt; without it, lines of standard input")
    parser.add_argument("--system", metavar="TEXT", help="system prompt")
    parser.add_argument("--plain", action="store_true", help="continue the text, without the chat template")
    parser.add_argument(
        "--max-new-tokens", type=count, default=256, metavar="N", help="longest answer (default: 256)"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=0.0,
        metavar="T",
        help="0 takes the most likely token (default), 1 samples from the model's own distribution",
    )
    parser.add_argument(
        "--top-p",
        type=float,
        default=1.0,
        metavar="P",
        help="sample from the most likely tokens that together have this probability (default: 1)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Start the trainer's generation. Returns the exit status that the module's text lists."""
    if not 0 <= arguments.temperature < math.inf:
        raise CommandError(f"--temperature: {arguments.temperature:g} must be 0 or more; 0.7 is usual")
    if not 0 < arguments.top_p <= 1:
        raise CommandError(f"--top-p: {arguments.top_p:g} must be over 0 and at most 1; 0.9 is usual")
    if _is_path(arguments.model) and not Path(arguments.model).is_dir():
        raise CommandError(
            f"--model {arguments.model}: there is no such directory. The status of a job that has ended "
            "names the one of its result, output.path"
        )
    if find_spec("torch") is None:
        raise CommandError("it needs torch and its companions: pip install '.[trainer]' in the repository")
    return subprocess.run(command(arguments), check=False).returncode


def _is_path(model: str) -> bool:
    """Whether it can't be an id on the hub, which is `name` or `organisation/name`."""
    return model.startswith(("/", ".", "~")) or model.count("/") > 1


def command(arguments: argparse.Namespace) -> list[str]:
    """The trainer's command line for these arguments."""
    words = [sys.executable, "-m", "finetune_trainer", "generate", f"--model={arguments.model}"]
    # one word each: a prompt may begin with a dash
    for name in ("adapter", "prompt", "system"):
        if (value := getattr(arguments, name)) is not None:
            words.append(f"--{name}={value}")
    words += ["--plain"] if arguments.plain else []
    words.append(f"--max-new-tokens={arguments.max_new_tokens}")
    words.append(f"--temperature={arguments.temperature}")
    words.append(f"--top-p={arguments.top_p}")
    return words
