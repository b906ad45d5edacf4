"""A configuration of each program whose configurations are imported."""

FRAMEWORK = """
model: {base_model: org/base, load_in_4bit: true, use_flash_attention: true, trust_remote_code: false}
fine_tuning:
  method: qlora
  lora: {r: 8, alpha: 16, target_modules: [q_proj, v_proj], bias: lora_only, task_type: CAUSAL_LM}
  quantization: {bits: 4, bnb_4bit_quant_type: fp4, bnb_4bit_compute_dtype: bfloat16}
training: {epochs: 2, learning_rate: 2e-4, optimizer: paged_adamw_8bit, mixed_precision: bf16}
dataset: {format: alpaca, train_path: /data/train.json, preprocessing: {add_bos_token: true}}
distributed: {use_deepspeed: true, deepspeed_config: ds.json, zero_stage: 2}
output: {output_dir: runs, save_steps: 50, hub_model_id: null}
evaluation: {do_eval: true, eval_strategy: steps, eval_steps: 40, benchmarks: [human-eval]}
"""
FRAMEWORK_COMPLETE = """
model:
  base_model: mistralai/Mistral-7B-v0.3
  tokenizer: mistralai/Mistral-7B-v0.3
  load_in_8bit: false
  load_in_4bit: true
  trust_remote_code: false
  use_flash_attention: true
  use_liger_kernels: false
fine_tuning:
  method: qlora
  lora: {r: 32, alpha: 64, dropout: 0.1, target_modules: [q_proj, v_proj], bias: none, task_type: CAUSAL_LM}
  spectrum: {snr_threshold: 0.6, layers_to_finetune: auto}
  quantization:
    bits: 4
    bnb_4bit_compute_dtype: bfloat16
    bnb_4bit_quant_type: nf4
    bnb_4bit_use_double_quant: true
training:
  epochs: 2
  micro_batch_size: 2
  gradient_accumulation_steps: 8
  learning_rate: 1.0e-4
  lr_scheduler_type: cosine
  warmup_ratio: 0.05
  max_grad_norm: 1.0
  optimizer: paged_adamw_8bit
  weight_decay: 0.01
  max_seq_length: 2048
  gradient_checkpointing: true
  mixed_precision: bf16
dataset:
  format: alpaca
  train_path: sets/train.json
  eval_path: sets/eval.json
  preprocessing: {add_eos_token: true, add_bos_token: false, use_chat_template: true}
distributed:
  use_deepspeed: true
  deepspeed_config: conf/zero.json
  zero_stage: 2
  gradient_accumulation_steps: 8
output:
  output_dir: runs/one
  logging_steps: 5
  eval_steps: 50
  save_steps: 200
  save_total_limit: 3
  push_to_hub: false
  hub_model_id: null
evaluation:
  do_eval: true
  eval_batch_size: 4
  eval_strategy: steps
  eval_steps: 100
  benchmarks: [lm-evaluation-harness]
"""
"""Every key that the program has, with the sections of methods that are not asked for."""
LLAMAFARM = """
components:
  fine_tuner:
    type: pytorch
    config:
      base_model: {huggingface_id: org/base, torch_dtype: float16, use_auth_token: "${TOKEN}"}
      method: {type: lora, r: 16, alpha: 32, lora_alpha: 32, layers_pattern: null}
      training: {batch_size: 4, num_epochs: 3, max_steps: -1, warmup_steps: 0, warmup_ratio: 0.1, fp16: true,
                 bf16: false, tf32: true, optim: adamw_8bit, optimizer: adamw_torch, report_to: [tensorboard]}
      optimization: {cuda: {use_bf16: true}}
"""
LLAMAFARM_FACTORY = """
fine_tuner:
  type: llamafactory
  config: {model_name_or_path: org/base, finetuning_type: lora, lora_rank: 8, lora_target: "q_proj,v_proj",
           quantization_bit: 4, template: llama2, stage: sft, upcast_layernorm: true, dataset: alpaca}
"""
ENGINE = """
model_config: {vocab_size: 50257, hidden_size: 256, num_layers: 4, num_heads: 4}
batch_size: 16
learning_rate: 0.001
max_steps: 100
mixed_precision: bf16
checkpoint_dir: ./checkpoints
wandb_project: mine
"""
FACTORY = """
model_name_or_path: org/base
stage: dpo
do_train: true
finetuning_type: lora
lora_target: all
template: llama3
dataset: org/preferences
cutoff_len: 2048
per_device_train_batch_size: 2
learning_rate: 1.0e-5
num_train_epochs: 2.0
lr_scheduler_type: cosine
bf16: true
pref_beta: 0.2
pref_loss: orpo
val_size: 0.1
eval_strategy: steps
eval_steps: 20
flash_attn: fa2
ddp_timeout: 180000000
plot_loss: true
"""
AXOLOTL = """
base_model: org/base
model_type: AutoModelForCausalLM
load_in_4bit: true
adapter: qlora
lora_r: 32
lora_target_linear: true
datasets:
- {path: org/one, type: alpaca, split: "train[:10]"}
- {path: org/two, type: alpaca}
val_set_size: 0.05
sequence_len: 4096
sample_packing: true
micro_batch_size: 2
num_epochs: 1
optimizer: adamw_bnb_8bit
lr_scheduler: cosine
bf16: auto
evals_per_epoch: 4
wandb_project:
special_tokens: {pad_token: "<pad>"}
"""
WIZARD = """
{"provider": "local", "algorithm": "rslora", "quantization": "none", "experiment_tracker": "comet",
 "project_name": "mine", "model_name": "org/base", "model_path": "/models/base", "dataset_id": "mine",
 "dataset_path": "/data/mine.json", "lora_r": 8, "lora_alpha": 16, "lora_dropout": 0.1,
 "target_modules": ["q_proj", "v_proj"], "learning_rate": 0.0002, "batch_size": 4,
 "gradient_accumulation_steps": 4, "num_epochs": 3}
"""
SILENT = "not in the file"
"""What is said of a key that the file does not have."""
DOCUMENTS = {
    "wizard": WIZARD,
    "framework": FRAMEWORK,
    "framework-complete": FRAMEWORK_COMPLETE,
    "llamafarm": LLAMAFARM,
    "llamafarm-factory": LLAMAFARM_FACTORY,
    "engine": ENGINE,
    "llamafactory": FACTORY,
    "axolotl": AXOLOTL,
}
