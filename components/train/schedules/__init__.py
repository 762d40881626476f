"""Learning-rate schedules: one file for each alternative, listed in `components.train.parameters.Schedule`."""
