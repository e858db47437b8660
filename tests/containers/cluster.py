#!/usr/bin/env python3
"""A real one-node Kubernetes 1.20 for tests, built from Debian's source package: etcd, API server,
controllers, scheduler and kubelet. It runs on the Docker daemon of docker.sh and in its namespaces.

Usage: cluster.py build KUBE            once: half an hour on two cores, 2.5 GB of disk; 345 MB
                                        remain
       cluster.py up DOCKER KUBE        DOCKER: the folder of docker.sh, which must be up
       cluster.py kubectl DOCKER KUBE ARGUMENTS...
       cluster.py down DOCKER KUBE      stop it and forget its objects

Real: admission, scheduling, probes, restarts, grace periods, volumes, evictions, rolling updates,
addresses of headless services; several nodes with nodes.py. Not there: enforced network policies,
service addresses (kube-proxy), admission of service accounts. A small server in this file
answers names from the endpoints of the services, because Debian has no CoreDNS. Manifests must be
lowered to 1.20 first (manifests.py). Needs root, deploy/install.sh --containers and kubectl."""

import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys

from containers import fleet, run

HERE = pathlib.Path(__file__).resolve().parent
BINARIES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
PORT = 26443
ETCD = "http://127.0.0.1:26444"
PEER = "http://127.0.0.1:26445"
DOMAIN = "cluster.local"


def build(kube):
    """Debian packages only kubectl, but has the source of everything."""
    if all((kube / name).exists() for name in BINARIES):
        return
    for folder in ("apt/lists/partial", "apt/cache/archives/partial", "src"):
        (kube / folder).mkdir(parents=True, exist_ok=True)
    sites = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(SITE)"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    site = next(
        line.split()[1] for line in sites.stdout.splitlines() if line.startswith("bookworm ")
    )
    (kube / "apt/sources.list").write_text(f"deb-src [trusted=yes] {site} bookworm main\n")
    apt = [
        "apt-get",
        "-q",
        "-o",
        f"Dir::Etc::sourcelist={kube}/apt/sources.list",
        "-o",
        "Dir::Etc::sourceparts=-",
        "-o",
        f"Dir::State::lists={kube}/apt/lists",
        "-o",
        f"Dir::Cache={kube}/apt/cache",
        "-o",
        "APT::Sandbox::User=root",
    ]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "source", "--download-only", "kubernetes"], cwd=kube / "src", check=True)
    subprocess.run(
        ["tar", "xzf", str(next((kube / "src").glob("kubernetes_*.orig.tar.gz")))],
        cwd=kube / "src",
        check=True,
    )
    source = next((kube / "src").glob("kubernetes-*/"))
    subprocess.run(
        ["nice", "make", "WHAT=" + " ".join(f"cmd/{name}" for name in BINARIES)],
        cwd=source,
        check=True,
        env={
            **os.environ,
            "KUBE_GIT_VERSION": "v1.20.2",
            "KUBE_GIT_MAJOR": "1",
            "KUBE_GIT_MINOR": "20",
            "KUBE_GIT_COMMIT": "0",
            "KUBE_GIT_TREE_STATE": "clean",
            "GOCACHE": str(kube / "gocache"),
        },
    )
    for name in BINARIES:
        shutil.copy2(next((source / "_output/local/bin").glob(f"linux/*/{name}")), kube / name)
    # Some versions of its build ignore the given cache folder.
    for folder in ("src", "gocache", "apt"):
        if (kube / folder).exists():
            shutil.rmtree(kube / folder)


class Cluster:
    def __init__(self, docker, kube):
        self.docker_dir, self.kube = pathlib.Path(docker).resolve(), pathlib.Path(kube).resolve()
        self.run_dir = self.kube / "run"
        pid = (self.docker_dir / "docker.pid").read_text().strip()
        self.inside = ["nsenter", "--target", pid, "--net", "--mount"]
        self.environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{self.docker_dir}/docker.sock",
            "DOCKER_BUILDKIT": "1",
        }

    def start(self, name, *command, inside=None):
        """Starts a program in the daemon's namespaces; it continues when this program ends."""
        with open(self.run_dir / f"{name}.log", "w", encoding="utf-8") as log:
            child = subprocess.Popen(
                [*(inside or self.inside), *map(str, command)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=self.environment,
            )
        (self.run_dir / f"{name}.pid").write_text(str(child.pid))

    @property
    def command(self):
        """How kubectl is called."""
        return [*self.inside, "kubectl", "--kubeconfig", str(self.run_dir / "kubeconfig")]

    def kubectl(self, *arguments, stdin=None, code=0, deadline_s=120):
        return run(*self.command, *arguments, stdin=stdin, code=code, deadline_s=deadline_s)

    def get(self, *arguments):
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def wait(self, condition, what, deadline_s):
        fleet.wait_until(condition, f"{what}; see {self.run_dir}/*.log", deadline_s, every_s=0.25)

    def up(self):
        address = self.bridge_address()
        self.start_control_plane("127.0.0.1")
        self.start_names(address)
        self.start_kubelet("node1", self.inside, self.docker_dir, address)
        self.wait(lambda: self.node_ready("node1"), "the node is ready", 90)

    def bridge_address(self):
        bridge = run(*self.inside, "ip", "-4", "-json", "addr", "show", "docker0")
        return json.loads(bridge)[0]["addr_info"][0]["local"]

    def node_ready(self, node):
        lines = self.kubectl("get", "nodes", "--no-headers", code=None).splitlines()
        return any(line.split()[:2] == [node, "Ready"] for line in lines)

    def start_control_plane(self, address, *controller_flags):
        """etcd, API server, controllers and scheduler; the API server listens at `address`."""
        if not all((self.kube / name).exists() for name in BINARIES):
            raise AssertionError(f"no Kubernetes in {self.kube}: cluster.py build {self.kube}")
        shutil.rmtree(self.run_dir, ignore_errors=True)
        self.run_dir.mkdir(mode=0o700)
        own, kube = self.run_dir, self.kube
        token = secrets.token_hex(16)
        run("openssl", "genrsa", "-out", own / "sa.key", "2048")
        (own / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
        self.make_pause_image()
        self.start(
            "etcd",
            "etcd",
            "--data-dir",
            own / "etcd",
            "--listen-client-urls",
            ETCD,
            "--advertise-client-urls",
            ETCD,
            "--listen-peer-urls",
            PEER,
            "--initial-advertise-peer-urls",
            PEER,
            "--initial-cluster",
            f"default={PEER}",
        )
        self.start(
            "kube-apiserver",
            kube / "kube-apiserver",
            f"--etcd-servers={ETCD}",
            f"--bind-address={address}",
            f"--advertise-address={address}",
            f"--secure-port={PORT}",
            f"--cert-dir={own}/certs",
            f"--service-account-key-file={own}/sa.key",
            f"--service-account-signing-key-file={own}/sa.key",
            "--service-account-issuer=mentor",
            f"--token-auth-file={own}/tokens.csv",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--disable-admission-plugins=ServiceAccount",
            "--kubelet-preferred-address-types=InternalIP",
        )
        (own / "kubeconfig").write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "x",
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "clusters": [
                        {
                            "name": "c",
                            "cluster": {
                                "server": f"https://{address}:{PORT}",
                                "certificate-authority": f"{own}/certs/apiserver.crt",
                            },
                        }
                    ],
                    "users": [{"name": "u", "user": {"token": token}}],
                }
            )
        )
        self.wait(
            lambda: self.kubectl("get", "--raw", "/readyz", code=None) == "ok",
            "the API server is ready",
            60,
        )
        self.start(
            "kube-controller-manager",
            kube / "kube-controller-manager",
            f"--kubeconfig={own}/kubeconfig",
            "--bind-address=127.0.0.1",
            "--port=0",
            "--leader-elect=false",
            f"--service-account-private-key-file={own}/sa.key",
            *controller_flags,
        )
        self.start(
            "kube-scheduler",
            kube / "kube-scheduler",
            f"--kubeconfig={own}/kubeconfig",
            "--bind-address=127.0.0.1",
            "--port=0",
            "--leader-elect=false",
        )

    def start_names(self, address):
        """Pods ask for names there."""
        self.names_address = address
        self.start(
            "names",
            sys.executable,
            HERE / "cluster.py",
            "names",
            self.docker_dir,
            self.kube,
            address,
        )

    def start_kubelet(self, node, inside, docker_dir, address):
        """Starts a node on the Docker daemon of this folder."""
        own = self.run_dir
        (own / node).mkdir()
        self.start(
            f"kubelet-{node}",
            self.kube / "kubelet",
            f"--kubeconfig={own}/kubeconfig",
            "--container-runtime=docker",
            f"--docker-endpoint=unix://{docker_dir}/docker.sock",
            # The kubelet and its own bridge to Docker talk here; nodes of one machine share /run.
            f"--container-runtime-endpoint=unix://{own}/{node}/dockershim.sock",
            f"--experimental-dockershim-root-directory={own}/{node}/dockershim",
            "--pod-infra-container-image=mentor-pause:1",
            "--cgroup-driver=cgroupfs",
            "--cgroups-per-qos=false",
            "--enforce-node-allocatable=",
            "--fail-swap-on=false",
            f"--root-dir={own}/{node}",
            f"--cert-dir={own}/{node}/pki",
            f"--hostname-override={node}",
            f"--node-ip={address}",
            f"--address={address}",
            "--healthz-port=0",
            "--read-only-port=0",
            "--resolv-conf=",
            f"--cluster-dns={self.names_address}",
            f"--cluster-domain={DOMAIN}",
            "--image-gc-high-threshold=100",
            "--eviction-hard=",
            "--authorization-mode=AlwaysAllow",
            "--anonymous-auth=true",
            inside=inside,
        )

    def make_pause_image(self):
        """Holds a pod's namespaces and collects its orphans."""
        folder = self.run_dir / "pause"
        folder.mkdir()
        (folder / "pause.c").write_text(
            "#include <signal.h>\n#include <stdlib.h>\n#include <sys/wait.h>\n#include <unistd.h>\n"
            "static void End(int n) { _exit(0); }\nstatic void Reap(int n) { while (waitpid(-1, 0, "
            "WNOHANG) > 0) {} }\n"
            "int main(void) { signal(SIGTERM, End); signal(SIGINT, End); signal(SIGCHLD, Reap); "
            "for (;;) pause(); }\n"
        )
        run("gcc", "-static", "-O1", "-o", folder / "pause", folder / "pause.c")
        (folder / "Dockerfile").write_text(
            'FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT ["/pause"]\n'
        )
        build = ("build", "--quiet", "--tag", "mentor-pause:1", folder)
        run("/usr/bin/docker", *build, env=self.environment, deadline_s=300)

    def down(self):
        kubelets = sorted(path.stem for path in self.run_dir.glob("kubelet-*.pid"))
        for name in (
            *kubelets,
            "names",
            "kube-scheduler",
            "kube-controller-manager",
            "kube-apiserver",
            "etcd",
        ):
            try:
                os.killpg(int((self.run_dir / f"{name}.pid").read_text()), signal.SIGTERM)
            except (FileNotFoundError, ProcessLookupError):
                pass
        self.clear(self.docker_dir, self.inside)
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def clear(self, docker_dir, inside):
        """Removes what a kubelet leaves on a daemon: containers, and mounts of secrets and memory
        volumes."""
        environment = {"DOCKER_HOST": f"unix://{docker_dir}/docker.sock"}
        listed = ("ps", "--all", "--quiet", "--filter", "name=k8s_")
        names = run("/usr/bin/docker", *listed, env=environment).split()
        if names:
            run("/usr/bin/docker", "rm", "--force", *names, env=environment, deadline_s=300)
        for _ in range(20):
            found = f"grep -o ' {self.run_dir}/[^ ]*' /proc/mounts"
            mounts = run(*inside, "sh", "-c", found, code=None).split()
            if not mounts:
                break
            run(*inside, "umount", "--lazy", *mounts, code=None)

    # Names of headless services, answered as the cluster's DNS would: with the addresses of ready
    # pods only.

    def endpoints(self, name):
        """Returns the addresses of NAME.NAMESPACE.svc.DOMAIN, or of one pod,
        POD.NAME.NAMESPACE.svc.DOMAIN; None if there is no such service."""
        suffix = f".svc.{DOMAIN}"
        parts = name.removesuffix(suffix).split(".") if name.endswith(suffix) else []
        if len(parts) not in (2, 3):
            return None
        pod = parts.pop(0) if len(parts) == 3 else None
        text = self.kubectl(
            "get",
            "endpoints",
            parts[0],
            "-n",
            parts[1],
            "-o",
            "json",
            "--ignore-not-found",
            code=None,
            deadline_s=10,
        )
        if not text:
            return None
        return [
            address["ip"]
            for subset in json.loads(text).get("subsets", [])
            for address in subset.get("addresses", [])
            if pod in (None, address.get("hostname"))
        ]

    def serve_names(self, address):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((address, 53))
        while True:
            query, peer = server.recvfrom(512)
            try:
                server.sendto(self.answer(query), peer)
            except Exception as error:  # One bad query must not end the server.
                print(f"names: {error!r}", flush=True)

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii").lower())
            at += 1 + query[at]
        kind = struct.unpack(">H", query[at + 1 : at + 3])[0]
        found = self.endpoints(".".join(labels))
        addresses = found if found and kind == 1 else []
        code = 3 if found is None else 0  # NXDOMAIN.
        head = query[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(addresses), 0, 0)
        records = b"".join(
            struct.pack(">HHHIH", 0xC00C, 1, 1, 5, 4) + socket.inet_aton(ip) for ip in addresses
        )
        return head + query[12 : at + 5] + records


def main(arguments):
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    verb, *rest = arguments
    if verb == "build" and len(rest) == 1:
        build(pathlib.Path(rest[0]).resolve())
    elif verb in ("up", "down", "kubectl", "names") and len(rest) >= 2:
        cluster = Cluster(*rest[:2])
        if verb == "kubectl":
            command = [*cluster.command, *rest[2:]]
            os.execvp(command[0], command)
        elif verb == "names":
            cluster.inside = []  # It is there already.
            cluster.serve_names(rest[2])
        else:
            cluster.up() if verb == "up" else cluster.down()
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
