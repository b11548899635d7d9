#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures nrpc side by side with raw nng and, where it was built, gRPC C++: separate processes, TCP on loopback.

usage: rpc_bench.py BIN_DIR [--rounds N] [--only NAME] [--clients N]

Every round runs all stacks one after the other; of each figure min / median / max over the rounds are printed, and the
ratio of nrpc's median to the others'.
"""
import argparse
import os
import statistics
import subprocess
import sys

ROUNDS = 5
SERVERS = {  # stack: program, argument, what its address begins as
    'nrpc': ('bench_nrpc_server', ['tcp://127.0.0.1:0', 'inline']),
    'nng, contexts': ('bench_nng_server', ['tcp://127.0.0.1:0', '64']),
    'gRPC C++ sync': ('bench_grpc_server', ['127.0.0.1:0', 'sync']),
    'gRPC C++ callback': ('bench_grpc_server', ['127.0.0.1:0', 'callback']),
}
CLIENTS = {'nrpc': 'bench_nrpc_client', 'nng, contexts': 'bench_nng_client',
           'gRPC C++ sync': 'bench_grpc_client', 'gRPC C++ callback': 'bench_grpc_client'}
CASES = [  # name, mode, count, bytes, outstanding, stacks
    ('100 bytes, 1 outstanding', 'sync', 20000, 100, 1, ['nrpc', 'nng, contexts', 'gRPC C++ sync']),
    ('100 bytes, 64 outstanding', 'async', 200000, 100, 64, ['nrpc', 'nng, contexts', 'gRPC C++ callback']),
    ('10 KiB, 64 outstanding', 'async', 60000, 10240, 64, ['nrpc', 'nng, contexts', 'gRPC C++ callback']),
    ('stream of 100 bytes', 'stream', 1000000, 100, 1, ['nrpc', 'gRPC C++ sync']),
]


class Server:
    def __init__(self, bin_dir, stack):
        program, arguments = SERVERS[stack]
        self.process = subprocess.Popen([os.path.join(bin_dir, program), *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def measure(bin_dir, stack, mode, count, size, outstanding):
    with Server(bin_dir, stack) as server:
        out = subprocess.run([os.path.join(bin_dir, CLIENTS[stack]), server.address, str(server.process.pid), mode,
                              str(count), str(size), str(outstanding)], capture_output=True, text=True, timeout=120)
    if out.returncode:
        sys.exit(f'{stack}: {out.stderr.strip()}')
    return [float(x) for x in out.stdout.split()]


def spread(values, digits):
    return ' / '.join(f'{f(values):,.{digits}f}' for f in (min, statistics.median, max))


def run_case(bin_dir, rounds, name, mode, count, size, outstanding, stacks):
    stacks = [s for s in stacks if os.path.exists(os.path.join(bin_dir, SERVERS[s][0]))]
    results = {s: [] for s in stacks}
    for _ in range(rounds):
        for s in stacks:
            results[s].append(measure(bin_dir, s, mode, count, size, outstanding))
    print(f'\n{name}: {count:,} a round, {rounds} rounds, min / median / max')
    for s in stacks:
        rate, p50, p99, cpu = (list(x) for x in zip(*results[s]))
        latency = '' if mode == 'stream' else f'   p50 {spread(p50, 1)} us   p99 {spread(p99, 0)} us'
        print(f'  {s:18} {spread(rate, 0)} per s{latency}   CPU s per 100k {spread(cpu, 3)}')
    def middle(stack, column):
        return statistics.median(r[column] for r in results[stack])
    for s in stacks[1:]:
        what, column = ('p50', 1) if mode == 'sync' else ('rate', 0)
        print(f'  nrpc / {s}: {what} {middle("nrpc", column) / middle(s, column):.2f}, '
              f'CPU {middle("nrpc", 3) / middle(s, 3):.2f}', flush=True)


def run_hold(bin_dir, mode, clients):
    """Many idle clients: each with a heartbeat every ten seconds; or one event to all."""
    with Server(bin_dir, 'nrpc') as server:
        pub_url = server.process.stdout.readline().strip()
        arguments = [server.address if mode == 'beat' else pub_url, str(server.process.pid), str(clients), '30', '10']
        hold = subprocess.Popen([os.path.join(bin_dir, 'bench_nrpc_hold'), mode, *arguments], stdout=subprocess.PIPE,
                                text=True)
        for line in hold.stdout:
            if line.strip() == 'publish':
                server.process.stdin.write('p')
                server.process.stdin.flush()
            else:
                name, value = line.split()
                print(f'  {name.replace("_", " "):28} {float(value):,.3f}', flush=True)
        if hold.wait():
            sys.exit('the clients failed')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('bin_dir')
    parser.add_argument('--rounds', type=int, default=ROUNDS)
    parser.add_argument('--only', default='', help='cases whose name has this in it; "idle" for the idle clients')
    parser.add_argument('--clients', type=int, default=10000)
    a = parser.parse_args()
    for case in CASES:
        if a.only in case[0]:
            run_case(a.bin_dir, a.rounds, *case)
    if a.only in 'idle clients':
        print(f'\n{a.clients:,} idle clients, one call of 64 bytes every 10 s each; then one event to as many')
        run_hold(a.bin_dir, 'beat', a.clients)
        run_hold(a.bin_dir, 'hear', a.clients)


if __name__ == '__main__':
    main()
