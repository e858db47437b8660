"""Studies: Optuna chooses settings, a service tries them.

`mentor-sweep study.yaml` reads the study (`study_file`) and asks Optuna for trials. Each trial
becomes one experiment per seed, whose numbers are reported while it runs; Optuna may prune it
(`study`). All state is in Optuna's storage and in the service, so a call that ended anywhere can
continue.
"""
