"""Copies runs and experiments to other programs: MLflow, Weights & Biases, TensorBoard.

`mentor-sync LOGGER RUN|EXPERIMENT` reads a run folder or asks a service (`source`). It gives
parameters, scalars, curves of lifetimes and films to a logger. Every call offers everything from
the first outer update on; a logger takes what it lacks. The only state is in the logger, so a
killed call does no harm.
"""
