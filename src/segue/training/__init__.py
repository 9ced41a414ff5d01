"""Training sequence models on Lightning: the task, its batches, callbacks and checkpoints."""
