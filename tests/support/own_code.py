"""A model whose code lies beside its weights, as repositories of the hub bring it along."""

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

CODE = """
import torch
from torch.nn.functional import cross_entropy
from transformers import GenerationMixin, LlamaConfig, LlamaModel, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

class OwnConfig(LlamaConfig):
    model_type = "own"

class OwnForCausalLM(PreTrainedModel, GenerationMixin):
    config_class = OwnConfig
    base_model_prefix = "model"

    def __init__(self, config):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.lm_head = torch.nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None,
                inputs_embeds=None, labels=None, use_cache=None, output_attentions=None,
                output_hidden_states=None, return_dict=None, REST):
        out = self.model(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids,
                         past_key_values=past_key_values, inputs_embeds=inputs_embeds, use_cache=use_cache)
        logits, loss = self.lm_head(out.last_hidden_state), None
        if labels is not None:  # as models did before losses were divided by the tokens of a global batch
            loss = cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=out.past_key_values)
"""
"""A Llama, written down once more; its forward pass takes `REST` beside what it names."""


def with_own_code(llama: Path, directory: Path, *, rest: str) -> Path:
    """A copy of a Llama that is loaded by code of its own."""
    shutil.copytree(llama, directory)
    (directory / "modeling_own.py").write_text(CODE.replace("REST", rest), encoding="utf-8")
    file = directory / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    places = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}
    config |= {"model_type": "own", "architectures": ["OwnForCausalLM"], "auto_map": places}
    file.write_text(json.dumps(config | {"tie_word_embeddings": False}), encoding="utf-8")
    weights = load_file(directory / "model.safetensors")
    weights.setdefault("lm_head.weight", weights["model.embed_tokens.weight"].clone())
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    return directory
