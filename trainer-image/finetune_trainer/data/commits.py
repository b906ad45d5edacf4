"""Which commit of a data set on the hub is read: a branch may be another one tomorrow."""

import logging
from typing import Final

from huggingface_hub import HfApi

from finetune_api.dataset import DatasetSpec, DataSource

log = logging.getLogger(__name__)

SECONDS: Final = 10.0


def at_commit(source: DataSource) -> DataSource:
    """A source on the hub with the commit that its revision is now; as it is where the hub does not say, and
    where it is no source on the hub."""
    hub = source.hub
    if hub is None:
        return source
    try:
        commit = HfApi().dataset_info(hub.id, revision=hub.revision, timeout=SECONDS).sha
    except Exception as error:  # noqa: BLE001 - what is wrong with the data is said when it is read
        log.info("the commit of %s is not known: %s", hub.id, error)
        return source
    return source.model_copy(update={"hub": hub.model_copy(update={"revision": commit or hub.revision})})


def at_commits(dataset: DatasetSpec) -> DatasetSpec:
    """Both sources of a data set at their commits."""
    update = {"train": at_commit(dataset.train), "eval": dataset.eval and at_commit(dataset.eval)}
    return dataset.model_copy(update=update)
