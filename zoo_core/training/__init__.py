"""Training: the loop, feeding, checkpoints, and a run in its folder."""
