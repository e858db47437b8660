"""Several Kubernetes nodes on one machine. Each has a separate network namespace with Docker daemon
and kubelet. A pair of interfaces joins it to the control plane's namespace. Pods of different nodes
reach each other by routes, as with a network plugin that routes. A node can die as in a power cut:
silent at once, its processes killed.

    control plane: 10.77.0.1             etcd, API server, controllers, scheduler, names
    node N:        10.77.0.N, pods at 10.78.N.0/24

Nodes share the machine's disk, so a volume by path is shared, too."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

import cluster
from containers import run

HERE = pathlib.Path(__file__).resolve().parent
CONTROL = "10.77.0.1"
# Half of the default, to shorten the wait for "not ready"; a kubelet reports every 10 s that it
# lives.
GRACE_S = 20
FORWARD = ("-i", "nodes", "-o", "nodes", "-j", "ACCEPT")


class Node:
    def __init__(self, number, folder):
        self.name, self.number = f"node{number}", number
        self.docker_dir = pathlib.Path(folder) / self.name
        self.address, self.pods = f"10.77.0.{number}", f"10.78.{number}"
        self.environment = {"DOCKER_HOST": f"unix://{self.docker_dir}/docker.sock"}
        self.alive = False

    def up(self):
        self.alive = True
        flags = f"--bip {self.pods}.1/24 --iptables=false --ip-masq=false"
        environment = {"DOCKER_EMPTY": "1", "DOCKER_FLAGS": flags}
        run(HERE / "docker.sh", "up", self.docker_dir, env=environment)
        self.pid = (self.docker_dir / "docker.pid").read_text().strip()
        self.inside = ["nsenter", "--target", self.pid, "--net", "--mount"]
        # A kubelet removes the logs there of pods that it does not know.
        run(*self.inside, "mount", "-t", "tmpfs", "tmpfs", "/var/log")

    def docker(self, *arguments, deadline_s=120):
        return run("/usr/bin/docker", *arguments, env=self.environment, deadline_s=deadline_s)

    def containers(self):
        """Identity and first process of each running container."""
        names = self.docker("ps", "--quiet", "--no-trunc").split()
        if not names:
            return []
        lines = self.docker("inspect", "--format", "{{.Id}} {{.State.Pid}}", *names).splitlines()
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    def die(self):
        """The power fails: no peer is told, and connections stay half-open."""
        run(*self.inside, "ip", "link", "set", "up0", "down")
        containers = self.containers()
        ours = f"{self.docker_dir}/"
        pids = [pid for _, pid in containers]
        for entry in pathlib.Path("/proc").glob("[0-9]*"):  # kubelet, dockerd, containerd, shims.
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if any(ours in word for word in words) and int(entry.name) != os.getpid():
                pids.append(int(entry.name))
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.alive = False
        time.sleep(1)
        # No other program removes the control groups of processes killed in this way.
        for name, _ in containers:
            for folder in pathlib.Path("/sys/fs/cgroup").glob(f"**/{name}"):
                try:
                    folder.rmdir()
                except OSError:
                    pass


class Nodes(cluster.Cluster):
    """DOCKER's namespaces hold the control plane; `count` nodes, numbered from 2, do the work."""

    def __init__(self, docker, kube, folder, count):
        super().__init__(docker, kube)
        self.nodes = [Node(number, folder) for number in range(2, 2 + count)]

    def up(self, images=()):
        self.link_control()  # The API server listens there.
        self.start_control_plane(CONTROL, f"--node-monitor-grace-period={GRACE_S}s")
        self.start_names(CONTROL)
        self.up_nodes(["mentor-pause:1", *images])
        for node in self.nodes:
            self.start_kubelet(node.name, node.inside, node.docker_dir, node.address)
        for node in self.nodes:
            self.wait(lambda node=node: self.node_ready(node.name), f"{node.name} is ready", 120)

    def up_nodes(self, images):
        """Daemons, network and images alone; call link_control first."""
        for node in self.nodes:
            node.up()
            self.link(node)
        self.load(images)

    def link_control(self):
        ip = [*self.inside, "ip"]
        self.unlink_control()
        run(*ip, "link", "add", "nodes", "type", "bridge")
        run(*ip, "addr", "add", f"{CONTROL}/24", "dev", "nodes")
        run(*ip, "link", "set", "nodes", "up")
        # The daemon's filter forwards nothing, not even frames of a bridge.
        run(*self.inside, "iptables", "-I", "FORWARD", *FORWARD)

    def unlink_control(self):
        for command in (
            ("ip", "link", "delete", "nodes"),
            ("iptables", "-D", "FORWARD", *FORWARD),
        ):
            subprocess.run([*self.inside, *command], check=False, stderr=subprocess.DEVNULL)

    def link(self, node):
        """A cable from the node to the control plane's bridge, and routes to all pods."""
        control = (self.docker_dir / "docker.pid").read_text().strip()
        near = f"to{node.number}"
        run(*node.inside, "ip", "link", "add", "up0", "type", "veth", "peer", "name", near)
        run(*node.inside, "ip", "link", "set", near, "netns", control)
        run(*node.inside, "ip", "addr", "add", f"{node.address}/24", "dev", "up0")
        run(*node.inside, "ip", "link", "set", "up0", "up")
        run(*node.inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        run(*self.inside, "ip", "link", "set", near, "master", "nodes", "up")
        run(*self.inside, "ip", "route", "add", f"{node.pods}.0/24", "via", node.address)
        for other in self.nodes:
            if other is not node:
                route = ["ip", "route", "add", f"{other.pods}.0/24", "via", other.address]
                run(*node.inside, *route)

    def load(self, images):
        """Each node has a store of its own."""
        archive = self.run_dir / "images.tar"
        run(
            "/usr/bin/docker",
            "save",
            "--output",
            archive,
            *images,
            env=self.environment,
            deadline_s=300,
        )
        for node in self.nodes:
            node.docker("load", "--quiet", "--input", archive, deadline_s=300)
        archive.unlink()

    def kill(self, name):
        next(node for node in self.nodes if node.name == name).die()
        (self.run_dir / f"kubelet-{name}.pid").unlink(missing_ok=True)

    def down(self):
        for node in self.nodes:
            if node.alive:
                try:  # The kubelet goes first, or it would start removed containers again.
                    pid = int((self.run_dir / f"kubelet-{node.name}.pid").read_text())
                    os.killpg(pid, signal.SIGTERM)
                except (FileNotFoundError, ProcessLookupError):
                    pass
                self.clear(node.docker_dir, node.inside)
                run(HERE / "docker.sh", "down", node.docker_dir)
            shutil.rmtree(node.docker_dir, ignore_errors=True)
        super().down()
        self.unlink_control()
