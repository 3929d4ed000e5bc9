"""A target in a process of its own: a crash or hang of a codec is reported, and the fuzzer goes on."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from select import select
from typing import IO

TESTS = Path(__file__).parents[1]
SECONDS = 20.0  # for one input
MEMORY = 4 * 2**30  # bytes of a process's address space


class EndedEarly(Exception):
    """The process has crashed or hung, or its target has failed."""


class Apart:
    """Runs a target in another process, which is started anew after a crash.

    Args:
        name: its module and function, as ``fuzzing.targets.parser``.
        seconds: how long it may take.
    """

    def __init__(self, name: str, seconds: float = SECONDS) -> None:
        self.name, self.seconds = name, seconds
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self, data: bytes) -> str:
        """Return the target's outcome.

        Raises:
            EndedEarly: the process crashed or took too long, or the target failed.
        """
        if self.process is None:
            self.start()
        assert self.process and self.process.stdin and self.process.stdout
        try:
            send(self.process.stdin, data)
            if not select([self.process.stdout], [], [], self.seconds)[0]:
                raise EndedEarly(f"{self.seconds} s were not enough")
            answer = receive(self.process.stdout)
        except (BrokenPipeError, EOFError):
            raise EndedEarly(f"the process ended with {self.stop()}") from None
        except EndedEarly:
            self.stop()
            raise
        word, _, trace = answer.decode().partition("\n")
        if trace:
            raise EndedEarly(trace)
        return word

    def start(self) -> None:
        """Start the process."""
        command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\nfrom fuzzing.apart import serve\n"]
        command[-1] += f"serve({self.name!r})"
        # Threads of torch that wait would keep cores busy that others want.
        env = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=TESTS, env=env)
        atexit.register(self.stop)

    def stop(self) -> int:
        """End the process; returns its exit status, minus the number of a signal."""
        assert self.process
        process, self.process = self.process, None
        atexit.unregister(self.stop)
        with process, contextlib.suppress(BrokenPipeError):
            assert process.stdin
            with contextlib.suppress(subprocess.TimeoutExpired, BrokenPipeError):
                process.stdin.close()  # at the end of its inputs it ends by itself
                return process.wait(0.2)
            process.kill()
            return process.wait()
        return process.returncode


def send(pipe: IO[bytes], data: bytes) -> None:
    """Write some bytes after their number."""
    pipe.write(len(data).to_bytes(8, "little") + data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes:
    """Read what :func:`send` has written; raises EOFError at the end."""
    head = pipe.read(8)
    data = pipe.read(int.from_bytes(head, "little"))
    if len(head) < 8 or len(data) < int.from_bytes(head, "little"):
        raise EOFError
    return data


def serve(name: str) -> None:
    """Answer inputs on stdin with outcomes on stdout: a word, or a word and a traceback."""
    import traceback

    from fuzzing.targets import outcome

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    module, _, function = name.rpartition(".")
    target: Callable[[bytes], str] = getattr(importlib.import_module(module), function)
    with contextlib.suppress(EOFError):
        while True:
            data = receive(sys.stdin.buffer)
            try:
                answer = outcome(target, data)
            except BaseException:
                answer = f"failed\n{traceback.format_exc()}"
            send(sys.stdout.buffer, answer.encode())
