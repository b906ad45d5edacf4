"""`finetune run`: the operator's decisions carried out with processes instead of pods."""
