"""Runs and experiments as other programs show them: MLflow, Weights & Biases, TensorBoard.

`mentor-sync LOGGER RUN|EXPERIMENT` reads a run folder or asks a service (`source`), and gives
parameters, scalars, curves of lifetimes and films to a logger. Every call offers everything from
the first outer update on; a logger takes what it has not got. So nothing has to be remembered
beside what is in the logger, and what killed a call before does not matter.
"""
