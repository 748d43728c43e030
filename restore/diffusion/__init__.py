"""The mathematics of diffusion: schedules, predictions, updates, variances and likelihoods; no network in sight."""
