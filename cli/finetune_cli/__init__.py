"""The command line `finetune`, also installed as `kubectl-finetune`."""
