"""Data: records, formats, chat template, labels, batches."""
