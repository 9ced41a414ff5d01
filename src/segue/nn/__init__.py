"""Pretrained-free torch building blocks: encoders, the item tower, losses. They know arrays, not data sets."""
