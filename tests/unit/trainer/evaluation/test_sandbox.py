"""What a program in the sandbox can do, and what it can't."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune_trainer.evaluation import sandbox, sandbox_child
from finetune_trainer.evaluation.sandbox import Limits, SandboxError, run_program
from waiting import wait_until

QUICK = Limits(cpu_seconds=2, wall_seconds=5.0, memory_bytes=512 << 20)


@pytest.fixture
def environment() -> Iterator[None]:
    os.environ["HF_TOKEN"] = "secret"
    yield
    del os.environ["HF_TOKEN"]


def test_a_program_may_compute_and_import_from_the_standard_library() -> None:
    program = "import math, re, collections, itertools, functools, heapq, hashlib, random\n"
    program += "assert math.gcd(6, 4) == 2\nassert sorted({3, 1}) == [1, 3]\nprint('ok')\n"
    assert run_program(program, QUICK) == "passed"


@pytest.mark.parametrize(
    "program",
    [
        "assert 1 == 2",
        "this is no program",
        "import os; os._exit(0)",
        "raise SystemExit(0)",
        f"raise SystemExit({sandbox.NO_FILTER})",
    ],
)
def test_only_who_comes_to_the_end_passes(program: str) -> None:
    assert run_program(program, QUICK) == "failed"


@pytest.mark.parametrize(
    "attempt",
    {
        "network": "import socket; socket.socket()",
        "pair of sockets": "import socket; socket.socketpair()",
        "write": "open('{place}/new', 'w')",
        "append": "open('{place}/kept', 'a')",
        "remove": "import os; os.remove('{place}/kept')",
        "rename": "import os; os.rename('{place}/kept', '{place}/other')",
        "truncate": "import os; os.truncate('{place}/kept', 0)",
        "directory": "import os; os.mkdir('{place}/d')",
        "permissions": "import os; os.chmod('{place}/kept', 0)",
        "process": "import os; os.fork()",
        "program": "import os; os.execv('/bin/true', ['true'])",
        "shell": "import subprocess; subprocess.run(['true'])",
        "thread": "import threading; t = threading.Thread(target=int); t.start(); t.join()",
        "signal": "import os; os.kill({parent}, 9)",
        "higher limit": "import resource; resource.prlimit({parent}, resource.RLIMIT_CPU, (1, 1))",
        "link": "import os; os.symlink('/etc/passwd', '{place}/link')",
    }.items(),
    ids=lambda attempt: attempt[0],
)
def test_everything_else_is_refused(tmp_path: Path, attempt: tuple[str, str]) -> None:
    (tmp_path / "kept").write_text("kept")
    try_it = attempt[1].format(place=tmp_path, parent=os.getpid())
    # passes only if the attempt raises: the program sees the refusal and goes on
    program = (
        f"try:\n    {try_it}\nexcept (OSError, RuntimeError):\n    pass\nelse:\n    raise AssertionError\n"
    )
    assert run_program(program, QUICK) == "passed"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "kept"


def test_what_it_prints_goes_nowhere() -> None:
    assert run_program("print('x' * 1_000_000)\n", QUICK) == "passed"


def test_the_way_to_us_holds_a_word_and_not_a_flood() -> None:
    flood = "import os\nfor way in range(3, 32):\n"
    flood += "    try:\n        os.write(way, b'x' * 1_000_000)\n    except OSError:\n        pass\n"
    assert run_program(flood, Limits(wall_seconds=0.5)) == "timed out"


def test_it_does_not_outlive_the_trainer() -> None:
    trainer = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-I', '-S', {str(sandbox.CHILD)!r}, '10', '1000000000'], "
        "stdin=-1, stdout=-1)\n"
        "child.stdin.write(b'word\\nimport time; time.sleep(60)')\n"
        "child.stdin.close()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", trainer], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = Path("/proc") / process.stdout.readline().strip()
        wait_until("the filter", lambda: "Seccomp:\t2" in (child / "status").read_text())
        process.kill()
    wait_until("the end of the program", lambda: not child.exists())


def test_no_variable_of_the_trainer_is_seen(environment: None) -> None:
    assert run_program("import os\nassert 'HF_TOKEN' not in os.environ\n", QUICK) == "passed"


def test_a_program_that_does_not_end_is_stopped() -> None:
    assert run_program("while True: pass", Limits(cpu_seconds=1, wall_seconds=10.0)) == "failed"
    assert run_program("import time; time.sleep(60)", Limits(wall_seconds=1.0)) == "timed out"


def test_memory_is_limited() -> None:
    assert run_program("x = bytearray(2 << 30)", QUICK) == "failed"


def test_nothing_runs_where_programs_cannot_be_confined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child.py"
    source = Path(sandbox_child.__file__).read_text()
    child.write_text(source.replace('"x86_64" or', '"another machine" or'))
    monkeypatch.setattr(sandbox, "CHILD", child)
    with pytest.raises(SandboxError, match="seccomp"):
        run_program("open('/tmp/ran', 'w')", QUICK)
