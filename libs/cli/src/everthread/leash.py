"""Becomes another program that dies with the process that started it. Run by path, with `python -I -S`.

    leash.py {kernel|pipe} PARENT_PID PIPE_FD TIMER_SLACK PROGRAM [ARGUMENT...]

kernel: Linux sends SIGKILL when the parent's thread is gone. pipe: a small watcher waits for the end of a pipe whose other
end only the parent holds. Either way the pid stays the one the parent knows. TIMER_SLACK: by how many nanoseconds the kernel may
wake the program later than it asked, so that it wakes less often; 0 leaves that to the kernel. Standard library only: this runs
before every child and must be quick.
"""

import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_TIMERSLACK = 29
CANNOT_EXECUTE = 127


def main(arguments: list[str]) -> None:
    how, (parent, descriptor, slack), program = arguments[0], map(int, arguments[1:4]), arguments[4:]
    if slack and sys.platform == "linux":
        # A wish: one that the kernel refuses costs time and nothing else.
        _prctl(PR_SET_TIMERSLACK, slack)
    if how == "kernel":
        _ask_kernel()
    else:
        _start_watcher(descriptor)
    if os.getppid() != parent:
        # The parent died before it could be watched.
        os._exit(CANNOT_EXECUTE)
    try:
        os.execvp(program[0], program)  # noqa: S606 - no shell is wanted
    except OSError as error:
        print(f"cannot start {program[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(CANNOT_EXECUTE)


def _prctl(option: int, value: int) -> bool:
    import ctypes

    return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)


def _ask_kernel() -> None:
    if not _prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL)):
        print("cannot ask the kernel to end this process with its parent", file=sys.stderr, flush=True)
        os._exit(CANNOT_EXECUTE)


def _start_watcher(descriptor: int) -> None:
    program = os.getpid()
    if os.fork() != 0:
        os.close(descriptor)
        return
    os.setsid()
    _let_go_of_everything_but(descriptor)
    while os.getppid() == program:
        readable, _, _ = select.select([descriptor], [], [], 0.5)
        if readable and os.read(descriptor, 1) == b"":
            if os.getppid() == program:
                os.kill(program, signal.SIGKILL)
            break
    os._exit(0)


def _let_go_of_everything_but(descriptor: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, 256)


if __name__ == "__main__":
    main(sys.argv[1:])
