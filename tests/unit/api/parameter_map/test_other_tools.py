"""What users of TRL, Axolotl and LLaMA-Factory reach for has a field."""

import pytest

from finetune_api import FineTuneJobSpec
from finetune_api.validation.fields import default_at

FIELDS = {
    "neftune": "training.neftuneNoiseAlpha",
    "rslora": "method.lora.rankStabilized",
    "loraplus": "method.lora.learningRateRatio",
    "layers to transform": "method.lora.layersToTransform",
    "layers pattern": "method.lora.layersPattern",
    "target modules by pattern": "method.lora.targetPattern",
    "label smoothing": "training.labelSmoothing",
    "sampling strategy": "training.sampling",
    "kto": "training.kto",
    "grpo": "training.grpo",
    "attention implementation": "model.attention",
    "torch compile": "training.compile",
    "learning rates per group": "training.parameterGroups",
    "environment": "resources.env",
    "volumes": "resources.volumes",
    "node selection": "resources.nodeSelector",
    "tolerations": "resources.tolerations",
    "affinity": "resources.affinity",
    "image pull secrets": "resources.imagePullSecrets",
}


@pytest.mark.parametrize("path", FIELDS.values(), ids=FIELDS)
def test_it_has_a_field_that_nobody_must_set(path):
    default = default_at(FineTuneJobSpec, path)
    assert default in (None, False, [], {}, "auto", "none", "random", 0.0)
