"""`python -m dying_operator`: the operator, killed after each write in a namespace that is not its own."""

import os
import sys
from typing import Any

from finetune_operator.__main__ import main
from finetune_operator.cluster import Cluster
from operator_rig import SYSTEM

KILLED = 137

_request = Cluster._request


async def _request_and_die(self: Cluster, method: str, path: str, **rest: Any) -> dict[str, Any]:
    answer = await _request(self, method, path, **rest)
    if method != "GET" and "/namespaces/" in path and f"/namespaces/{SYSTEM}/" not in path:
        sys.stderr.write(f"dies after {method} {path}\n")
        sys.stderr.flush()
        os._exit(KILLED)
    return answer


if __name__ == "__main__":
    Cluster._request = _request_and_die  # type: ignore[method-assign]
    sys.exit(main())
