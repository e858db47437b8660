"""Client of Mentor's meta-learner: submit, watch, change and read experiments.

    with Client("127.0.0.1:50052") as client:
        experiment = client.create("point_reach.txtpb")
        experiment.wait()
        print(experiment.metrics(["meta_return"])["meta_return"].mean)

`Client` has the operations, `Experiment` is one experiment, and every failure is a `MentorError`.
The messages of the wire are in `mentor_client.v1`: `experiment_pb2`, `experiment_service_pb2`,
`spec_pb2`.
"""

import os
import sys

try:
    from .bundles import Bundle
    from .client import Client, WatchEvent
    from .errors import ExperimentEnded, MentorError, MentorTimeout, Violation
    from .evaluation import EvaluationResult
    from .experiment import Experiment
    from .metrics import Metrics, MetricPoints, Series
    from .v1.experiment_pb2 import Checkpoint, Progress
    from .v1.spec_pb2 import ExperimentSpec
except ModuleNotFoundError as error:
    said = (
        f"mentor_client needs the Python module {error.name}, which {sys.executable} lacks: pip "
        "install ./python in a clone of the repository, or pip install grpcio protobuf"
    )
    if os.path.basename(sys.argv[0]) in ("-m", "mentor-sync", "mentor-sweep", "mentor-web"):
        print(f"error: LIBRARY_MISSING: {said}", file=sys.stderr)  # Same exit code as command.run.
        sys.exit(5)
    raise ModuleNotFoundError(said, name=error.name) from None

__version__ = "0.3.0"
__all__ = [
    "Bundle",
    "Checkpoint",
    "Client",
    "EvaluationResult",
    "Experiment",
    "ExperimentEnded",
    "ExperimentSpec",
    "MentorError",
    "MentorTimeout",
    "MetricPoints",
    "Metrics",
    "Progress",
    "Series",
    "Violation",
    "WatchEvent",
]
