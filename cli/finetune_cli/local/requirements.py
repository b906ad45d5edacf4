"""What must be there before a job can run on this machine."""

import os
from importlib.util import find_spec

from finetune_api import FineTuneJob
from finetune_api.protocol import HUB_TOKEN_VARIABLE


def missing_requirements(job: FineTuneJob) -> str:
    """Return what is missing and how to get it; an empty string if nothing is."""
    if job.spec.resources.command is None and find_spec("torch") is None:
        return "training needs torch and its companions: pip install '.[trainer]' in the repository"
    if job.spec.output.hub is not None and not {HUB_TOKEN_VARIABLE, "HF_TOKEN"} & set(os.environ):
        return (
            "output.hub.tokenSecret: there is no cluster to read the Secret from. "
            f"Export {HUB_TOKEN_VARIABLE} (or HF_TOKEN) in this shell."
        )
    for index, variable in enumerate(job.spec.resources.env):
        if variable.value is None and variable.name not in os.environ:
            return (
                f"resources.env[{index}]: there is no cluster to read the Secret for {variable.name} from. "
                f"Export {variable.name} in this shell."
            )
    return ""
