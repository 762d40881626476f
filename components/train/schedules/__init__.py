"""Learning-rate schedules: one file an alternative, listed in `components.train.parameters.Schedule`."""
