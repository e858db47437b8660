#!/usr/bin/env python3
"""The tour create -> watch -> metrics -> pause -> resume -> cancel -> delete with a client that has
never seen our protos: grpc-requests asks the service for them by reflection.

Usage: foreign_client.py HOST:PORT SPEC
"""

import pathlib
import sys
import threading
import time

import grpc
from grpc_requests import Client

SERVICE = "mentor.v1.ExperimentService"
NAME = {"name": "experiments/foreign"}


def main():
    client = Client(sys.argv[1])
    print("services:", *client.service_names)
    print("methods:", len(client.service(SERVICE).method_names))
    call = lambda method, **request: client.request(SERVICE, method, request)

    def state():
        return call("GetExperiment", **NAME)["state"]

    def wait_for(wanted):
        end = time.monotonic() + 60
        while state() != wanted:
            if time.monotonic() > end:
                sys.exit(f"not {wanted} in 60 s but {state()}")
            time.sleep(0.05)
        print(wanted)

    read = call(
        "ParseSpec",
        files=[{"path": "spec.txtpb", "text": pathlib.Path(sys.argv[2]).read_text()}],
        overrides=["rule.outer_updates=1000000"],
    )
    made = call("CreateExperiment", experiment_id="foreign", experiment=read["experiment"])
    print("created:", made["name"], made["state"])

    seen = []

    def watch():
        try:
            for event in call("WatchExperiments", names=[NAME["name"]]):
                seen.append((event["event"], event.get("experiment", {}).get("state", "")))
                if event["event"] == "EVENT_DELETED":
                    return
        except grpc.RpcError as error:
            seen.append(("error", str(error.code())))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    wait_for("STATE_RUNNING")
    points = call("WatchMetrics", metrics=["meta_return"], **NAME)
    print(
        "points:",
        *(
            f"{point['step']}: {point['values']['meta_return']:.4f}"
            for point, _ in zip(points, range(3))
        ),
    )
    series = call("QueryMetrics", metrics=["meta_return"], step_max=3, **NAME)["series"]
    print(
        "series:",
        series[0]["metric"],
        series[0]["steps"],
        [round(value, 4) for value in series[0]["mean"]],
    )
    call("PauseExperiment", **NAME)
    wait_for("STATE_PAUSED")
    call("ResumeExperiment", **NAME)
    wait_for("STATE_RUNNING")
    call("CancelExperiment", reason="seen enough", **NAME)
    wait_for("STATE_CANCELLED")
    print("error:", call("GetExperiment", **NAME)["error"]["message"])
    call("DeleteExperiment", **NAME)
    try:
        state()
        sys.exit("it is still there")
    except grpc.RpcError as error:
        print(error.code().name, error.details())
    watcher.join(60)
    states = [state for kind, state in seen if kind != "EVENT_BOOKMARK"]
    print(
        "watched:",
        " ".join(after for before, after in zip([""] + states, states) if before != after),
    )
    print("last event:", seen[-1][0])
    if seen[-1][0] != "EVENT_DELETED":
        sys.exit("the watch did not see the end")


if __name__ == "__main__":
    main()
