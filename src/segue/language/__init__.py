"""Pretrained language models: item text to vectors, tuning, domain pretraining."""
