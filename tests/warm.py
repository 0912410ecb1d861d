"""Processes of their own for tests, without the seconds that a fresh interpreter takes to import torch.

A server that has imported torch and zerosum, and done nothing else, forks them. Each has its streams, folder,
environment, session and exit code, and gets real signals; that it computes what a fresh one does is seen in
tests/engine/test_kill.py. Only what an interpreter does after its last line is done in short: to free all that torch
holds takes seconds."""

import atexit
import fcntl
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent
IMPORTED = (
    "zerosum.cli.main",
    "zerosum.cli.output",
    "zerosum.training.train",
    "zerosum.recipes.classifier",
    "zerosum.evaluation.evaluate",
    "zerosum.data.synthetic.portraits",
    "torch._refs",
    "torch._meta_registrations",
    "torch.utils._python_dispatch",
)


class Process:
    """The command `zerosum` with these arguments, or Python code to which they are the arguments, in a session of its
    own, which has the stream as its terminal if that is asked. What it writes is kept in files (`output`, `errors`)
    where no other streams are given. Signals have their defaults, but those in `ignored`, as under nohup."""

    def __init__(self, server, arguments, code=None, streams=None, terminal=False, ignored=()):
        self._files = None if streams else [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
        with open(os.devnull) as nothing:
            streams = streams or (nothing.fileno(), *(file.fileno() for file in self._files))
            self._status, status = os.pipe()
            asked = {
                "arguments": [str(one) for one in arguments],
                "code": code,
                "terminal": terminal,
                "cwd": os.getcwd(),
                "environment": dict(os.environ) | {"OMP_NUM_THREADS": "1"},
                "ignored": [int(number) for number in ignored],
            }
            socket.send_fds(server, [json.dumps(asked).encode() + b"\n"], [*streams, status])
            os.close(status)
        self.returncode = None
        self.pid = int(self._told(60))

    def _told(self, seconds):
        """The next line of what the server says of the process; None when it is late."""
        if not select.select([self._status], [], [], seconds)[0]:
            return None
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(self._status, 1) or b"?\n"
        return line

    def poll(self):
        return self._ended(0)

    def _ended(self, seconds):
        if self.returncode is None and (told := self._told(seconds)) is not None:
            self.returncode = int(told)
            os.close(self._status)
        return self.returncode

    def wait(self, timeout):
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired("zerosum", timeout)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """End it at once, and wait until it has ended."""
        self.send_signal(signal.SIGKILL)
        self.wait(60)

    def close(self):
        """End it, and forget what it wrote."""
        self.kill()
        for file in self._files or ():
            file.close()

    @property
    def output(self):
        return self._written(0)

    @property
    def errors(self):
        return self._written(1)

    def _written(self, which):
        descriptor = self._files[which].fileno()  # whose position is that of the process
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()


class Server:
    """Starts processes; ends with its block, or with the process that made it."""

    def __enter__(self):
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                cwd=ROOT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return self

    def __exit__(self, *error):
        self._socket.close()
        self._process.wait(60)

    def start(self, *arguments, **options):
        return Process(self._socket, arguments, **options)


def serve(connection):
    """Fork until the other side closes the connection; returns in each new process, with what was asked of it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those below
    while True:
        message, descriptors = b"", []
        while not message.endswith(b"\n"):
            part, passed, _, _ = socket.recv_fds(connection, 65536, 4)
            if not part:
                os._exit(0)
            message, descriptors = message + part, descriptors + passed
        *streams, status = descriptors
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            connection.close()
            child = os.fork()
            if child == 0:
                os.close(status)
                return json.loads(message), streams
            for descriptor in streams:
                os.close(descriptor)
            os.write(status, b"%d\n" % child)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            with suppress(BrokenPipeError):
                os.write(status, b"%d\n" % code)
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


def become(asked, streams):
    """What a fresh interpreter would be with this environment, folder and streams."""
    os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if asked["terminal"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    # a shell ignores SIGINT for what it runs in the background, and nohup SIGHUP: these tests send both
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    for number in asked["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    sys.argv = ["zerosum", *asked["arguments"]]
    sys.path[0] = ""


def run(code):
    """The exit code of the command, or of Python code."""
    try:
        if code is None:
            runpy.run_module("zerosum", run_name="__main__", alter_sys=True)
        else:
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        return ended.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def main():
    sys.path[0] = str(ROOT)
    for name in IMPORTED:
        __import__(name)
    threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
    assert threads == 1, "a process with threads cannot be forked"
    gc.collect()
    gc.freeze()  # memory that nothing writes to is not copied
    asked, streams = serve(socket.socket(fileno=int(sys.argv[1])))
    become(asked, streams)
    code = run(asked["code"])
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
