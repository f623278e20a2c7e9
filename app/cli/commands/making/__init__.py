"""Commands that compute: harvests, trainings, sweeps, evaluations, and checks of their results."""
