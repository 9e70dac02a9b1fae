#!/usr/bin/python3
"""t/demo, where ./dev run ends: it serves, each command it shows works, Ctrl-C ends it with 0."""

import os
import signal
import subprocess

from harness import KEEPD, SRCDIR, TIMEOUT_S, Conn, case, die_with_parent, run


def demo(*args, **environ):
    environ["KEEPD_DEMO_PORT"] = "0"
    return subprocess.Popen([os.path.join(SRCDIR, "t", "demo")] + list(args),
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, start_new_session=True,
                            env=dict(os.environ, KEEPD=KEEPD, **environ), preexec_fn=die_with_parent)


def read_commands(process, n):
    """The commands that the demo shows, once all n are there."""
    commands = []
    while len(commands) < n:
        line = process.stdout.readline()
        assert line, "the demo ended: %s" % process.wait()
        if line.startswith("    $ "):
            commands.append(line[6:-1])
    return commands


def shown_commands_work(process, n):
    try:
        for command in read_commands(process, n):
            done = subprocess.run(["bash", "-c", command], capture_output=True, text=True,
                                  timeout=TIMEOUT_S)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            assert "hello" in done.stdout or "curr_items" in done.stdout, (command, done.stdout)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@case
def shown_commands_work_and_ctrl_c_ends_it():
    shown_commands_work(demo(), 6)


@case
def without_login_too():
    shown_commands_work(demo(KEEPD_DEMO_OPEN="1"), 2)


@case
def login_is_needed():
    process = demo()
    try:
        command = read_commands(process, 1)[0]
        port = command.split("/127.0.0.1/")[1].split(";")[0]
        with Conn(("127.0.0.1", int(port))) as conn:
            assert conn.ask(b"get greeting") == b"CLIENT_ERROR unauthenticated"
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(TIMEOUT_S)


@case
def a_wrong_option_is_told():
    process = demo("-t", "0")
    text = process.communicate(timeout=TIMEOUT_S)[0]
    assert process.returncode == 1 and "Number of threads must be greater than 0" in text, text


run()
