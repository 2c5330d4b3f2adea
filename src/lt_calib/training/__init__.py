"""How a stage is trained: the trainer, its callbacks, several processes, and what the optimizer does."""
