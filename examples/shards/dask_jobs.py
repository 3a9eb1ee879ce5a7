#!/usr/bin/env python3
"""Runs the jobs of `clif-inline thin` on a Dask cluster.

    dask_jobs.py SCHEDULER out/jobs.json [--root DIR]

SCHEDULER is the address of a running scheduler, such as tcp://10.0.0.1:8786. Paths are those of the
build folder DIR, which all workers see under the same path, such as one on a network file system.

A job runs if its output is missing, or was made by another command or from other inputs than now; a
record beside the output says from which. If a worker is lost, its job runs again on another one. The
tool writes a file beside the output and renames it, so an output is always complete.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys

from distributed import Client, as_completed


def state(root, command, inputs):
    """Returns a hash of the command and of the inputs that the result depends on.

    The second input is the plan, which has a hash of each function that is imported, so the files
    of imported shards do not count.
    """
    digest = hashlib.sha256(json.dumps(command).encode())
    for path in inputs[:2]:
        digest.update(hashlib.sha256((root / path).read_bytes()).digest())
    return digest.hexdigest()


def run(root, command):
    """Runs one command; called on a worker."""
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode < 0:
        raise RuntimeError(f"killed by signal {-done.returncode}")
    return done.returncode, done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scheduler")
    parser.add_argument("jobs", type=pathlib.Path)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path.cwd())
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    build = json.loads(arguments.jobs.read_text())
    common = build["common"]["args"]

    client = Client(arguments.scheduler)
    waiting = {}
    for job in build["jobs"]:
        command = common + job["args"]
        output = root / job["outputs"][0]
        record = output.with_name(output.name + ".from")
        now = state(root, command, job["inputs"])
        if output.exists() and record.exists() and record.read_text() == now:
            continue
        # What the record said is no longer so while the job runs.
        record.unlink(missing_ok=True)
        # A command has no other effects than its output, so it may run twice. One that a signal kills
        # is tried again.
        future = client.submit(run, str(root), command, key=f"{output.name}-{now}", retries=3)
        waiting[future] = (job, record, now)

    failed = 0
    for future in as_completed(list(waiting)):
        job, record, now = waiting[future]
        try:
            status, errors = future.result()
        except Exception as error:  # The cluster gave up on the job.
            status, errors = 1, f"{error}\n"
        if errors:
            print(errors, end="", file=sys.stderr)
        if status == 0:
            record.write_text(now)
        else:
            failed += 1
            print(f"failed with {status}: {job['outputs'][0]}", file=sys.stderr)
    print(f"{len(waiting)} of {len(build['jobs'])} jobs ran, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
