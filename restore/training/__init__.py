"""Training: configs, batches, objectives, and the run."""
