#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""peers.py: no-op subtasks per second beside other systems, in turn, in one run.

    peers.py BIN [ROUNDS]

BIN is where dtf_bench and gearman_peer are. Each round measures everybody once: ours on Redis (AOF everysec) and MariaDB
(durable commits) with one coordinator and one node, gearmand, bee-queue, BullMQ and Celery, those on Redis with AOF
everysec, too. Who is not installed is left out and named. Printed: min / median / max over the rounds, and the median of
our rate divided by theirs, round by round. NODE_PATH says where bee-queue and bullmq are.
"""
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DEADLINE_S = 300


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"peers: nothing listens on port {port}")


class Servers:
    """Processes that end with the block, in reverse order; their folder goes, too."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp()
        self.running = []
        return self

    def start(self, *argv, **environment):
        self.running.append(subprocess.Popen(argv, cwd=self.folder, env={**os.environ, **environment},
                                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def redis(self):
        port = free_port()
        self.start("redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", self.folder, "--save", "",
                   "--appendonly", "yes", "--appendfsync", "everysec")
        wait_port(port)
        return port

    def __exit__(self, *unused):
        for process in reversed(self.running):
            process.terminate()
        for process in reversed(self.running):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder)


def rate_of(*argv, **environment):
    """Runs a client; its last line is the rate."""
    out = subprocess.run(argv, env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE, text=True,
                         timeout=DEADLINE_S).stdout
    return float(out.split()[-1])


def ours(bin_folder):
    return rate_of(f"{bin_folder}/dtf_bench", "cluster", "rate")


def gearman(bin_folder):
    with Servers() as servers:
        port = free_port()
        servers.start("gearmand", "--listen=127.0.0.1", f"--port={port}", f"--log-file={servers.folder}/log",
                      f"--pid-file={servers.folder}/pid")
        wait_port(port)
        for _ in range(2):
            servers.start(f"{bin_folder}/gearman_peer", "worker", str(port))
        rate_of(f"{bin_folder}/gearman_peer", "client", str(port), "2000")
        return rate_of(f"{bin_folder}/gearman_peer", "client", str(port), "100000")


def node_queue(script, jobs):
    with Servers() as servers:
        port = servers.redis()
        servers.start("node", f"{HERE}/{script}", "worker", str(port))
        rate_of("node", f"{HERE}/{script}", "client", str(port), "1000")  # the worker is there, and warm
        return rate_of("node", f"{HERE}/{script}", "client", str(port), str(jobs))


def celery():
    with Servers() as servers:
        environment = {"CELERY_PEER_PORT": str(servers.redis()), "PYTHONPATH": HERE, "PYTHONDONTWRITEBYTECODE": "1",
                       "C_FORCE_ROOT": "1"}
        servers.start(sys.executable, "-m", "celery", "-A", "celery_peer", "worker", "-P", "prefork", "-c", "2",
                      "--prefetch-multiplier", "64", "--without-gossip", "--without-mingle", "--without-heartbeat",
                      **environment)
        return rate_of(sys.executable, f"{HERE}/celery_peer.py", "3000", **environment)


def has_node(name):
    return shutil.which("node") and subprocess.run(["node", "-e", f"require('{name}')"], stderr=subprocess.DEVNULL,
                                                   check=False).returncode == 0


def has_celery():
    return subprocess.run([sys.executable, "-c", "import celery, redis"], stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


def main():
    bin_folder, rounds = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3
    peers = {
        "pterergate, 200,000": (True, lambda: ours(bin_folder)),
        "gearmand, batches of 1,000, nothing stored": (
            shutil.which("gearmand") and os.path.exists(f"{bin_folder}/gearman_peer"), lambda: gearman(bin_folder)),
        "bee-queue, saves of 1,000": (has_node("bee-queue"), lambda: node_queue("bee_peer.js", 50000)),
        "BullMQ, addBulk of 1,000": (has_node("bullmq"), lambda: node_queue("bull_peer.js", 20000)),
        "Celery, results read": (has_celery(), celery),
    }
    rates = {name: [] for name, (there, _) in peers.items() if there}
    for name, (there, _) in peers.items():
        if not there:
            print(f"{name}: not installed here, left out")
    for _ in range(rounds):
        for name, values in rates.items():
            values.append(peers[name][1]())
    first = next(iter(rates))
    print(f"{'':<44} {'min':>9} / {'median':>9} / {'max':>9} per s   ours / theirs")
    for name, values in rates.items():
        ratio = statistics.median(o / t for o, t in zip(rates[first], values))
        print(f"{name:<44} {min(values):>9.0f} / {statistics.median(values):>9.0f} / {max(values):>9.0f}"
              f"         {ratio:>8.1f}")


main()
