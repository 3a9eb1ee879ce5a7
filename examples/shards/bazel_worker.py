#!/usr/bin/env python3
"""A worker for BuildGrid, which runs the jobs of Bazel's remote execution.

    bazel_worker.py SERVER NAME

SERVER is the address of a running `bgd server`, such as 10.0.0.1:50051. Each worker has its own NAME, and
runs one job at a time, in a folder that has the inputs of the job and nothing else. Outputs are files.

The server keeps the queue. If a worker is lost, the server notices that it no longer calls, and gives its
job to another one. A job that a signal kills is tried again as well. Outputs are stored before they are
reported, so there is never half of one.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

import grpc
from buildgrid._protos.build.bazel.remote.execution.v2 import remote_execution_pb2 as execution
from buildgrid._protos.google.devtools.remoteworkers.v1test2 import bots_pb2 as bots
from buildgrid._protos.google.devtools.remoteworkers.v1test2 import bots_pb2_grpc
from buildgrid.server.client import cas

# In seconds: how often a worker says that it still runs a job, and how long it waits for a new one.
SIGN_OF_LIFE = 2
LONGEST_WAIT = 60

# Values of BotStatus, of LeaseState, and of google.rpc.Code.
OK, ACTIVE, COMPLETED, INTERNAL = 1, 2, 4, 13


class Worker:
    def __init__(self, server, name):
        self.name = name
        self.channel = grpc.insecure_channel(server)
        self.bots = bots_pb2_grpc.BotsStub(self.channel)
        self.begin()

    def begin(self):
        """Begins a session. An older one of the same name ends, and its job is given to another worker."""
        session = bots.BotSession(bot_id=self.name, status=OK)
        request = bots.CreateBotSessionRequest(bot_session=session)
        self.session = self.bots.CreateBotSession(request, timeout=LONGEST_WAIT)

    def update(self):
        """Tells the server the state of the job, and waits for one if there is none."""
        request = bots.UpdateBotSessionRequest(name=self.session.name, bot_session=self.session)
        try:
            self.session = self.bots.UpdateBotSession(request, timeout=LONGEST_WAIT)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.DATA_LOSS):
                # The server took this worker for lost.
                self.begin()
            elif error.code() == grpc.StatusCode.UNAVAILABLE:
                raise
            else:
                time.sleep(1)

    def lease(self, name):
        return next((lease for lease in self.session.leases if lease.id == name), None)

    def output(self, name, process):
        """Waits for a job and returns its output, or `None` if the server took the job back."""
        while True:
            try:
                return process.communicate(timeout=SIGN_OF_LIFE)
            except subprocess.TimeoutExpired:
                self.update()
            if self.lease(name) is None:
                process.kill()
                process.communicate()
                return None

    def run(self, name, action):
        """Runs a job and returns its result, or `None` if there is none."""
        with tempfile.TemporaryDirectory() as root, cas.download(self.channel) as download:
            command = download.get_message(action.command_digest, execution.Command())
            download.download_directory(action.input_root_digest, root)
            download.flush()
            folder = pathlib.Path(root, command.working_directory)
            for output in command.output_files:
                (folder / output).parent.mkdir(parents=True, exist_ok=True)
            process = subprocess.Popen(
                command.arguments,
                cwd=folder,
                env={variable.name: variable.value for variable in command.environment_variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            texts = self.output(name, process)
            if texts is None or process.returncode < 0:
                return None
            result = execution.ActionResult(
                exit_code=process.returncode, stdout_raw=texts[0], stderr_raw=texts[1]
            )
            with cas.upload(self.channel) as upload:
                for output in command.output_files:
                    path = folder / output
                    if path.is_file():
                        digest = upload.upload_file(str(path), queue=False)
                        runs = os.access(path, os.X_OK)
                        result.output_files.add(path=output, digest=digest, is_executable=runs)
            return result

    def serve(self):
        while True:
            for name in [lease.id for lease in self.session.leases if lease.state == ACTIVE]:
                action = execution.Action()
                self.lease(name).payload.Unpack(action)
                try:
                    result = self.run(name, action)
                except (grpc.RpcError, OSError) as error:
                    print(f"{name}: {error}", file=sys.stderr, flush=True)
                    result = None
                lease = self.lease(name)
                if lease is not None:
                    lease.state = COMPLETED
                    if result is None:
                        lease.status.code = INTERNAL
                    else:
                        lease.result.Pack(result)
            self.update()


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        Worker(*sys.argv[1:]).serve()
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
