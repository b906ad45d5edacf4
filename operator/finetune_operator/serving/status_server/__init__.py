"""The status server: trainers report here, and only the pods of a job may report for it."""

from finetune_operator.serving.status_server.auth import Authenticator
from finetune_operator.serving.status_server.server import StatusServer

__all__ = ["Authenticator", "StatusServer"]
