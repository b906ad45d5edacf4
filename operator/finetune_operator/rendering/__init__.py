"""Rendering: from a FineTuneJob and an attempt number to the Kubernetes objects of that attempt. Pure."""

from finetune_operator.rendering.attempt import render_attempt
from finetune_operator.rendering.config import RenderConfig

__all__ = ["RenderConfig", "render_attempt"]
