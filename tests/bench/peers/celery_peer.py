# SPDX-License-Identifier: Apache-2.0
"""celery_peer.py: no-op tasks through Celery on Redis; a module for its worker, and the client.

    celery -A celery_peer worker ...     with CELERY_PEER_PORT set
    celery_peer.py JOBS                  delays them all, then gets every result; prints tasks per second
"""
import os
import sys
import time

from celery import Celery

url = f"redis://127.0.0.1:{os.environ['CELERY_PEER_PORT']}/"
app = Celery("celery_peer", broker=url + "0", backend=url + "1")


@app.task(name="noop")
def noop(param):
    """Does nothing."""


def main():
    """Submits and waits."""
    total = int(sys.argv[1])
    noop.delay("").get(timeout=30)
    start = time.perf_counter()
    results = [noop.delay("x" * 100) for _ in range(total)]
    for result in results:
        result.get(timeout=60)
    print(round(total / (time.perf_counter() - start)))


if __name__ == "__main__":
    main()
