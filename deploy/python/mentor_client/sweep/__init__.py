"""Studies: Optuna chooses settings, a service tries them.

`mentor-sweep study.yaml` reads the study (`study_file`), asks Optuna for trials, makes each one an
experiment for every seed, reports its numbers while it runs and cancels it when Optuna prunes it
(`study`). What is known of a study is in Optuna's storage and in the service; so a call that was
ended anywhere goes on.
"""
