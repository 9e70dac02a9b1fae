"""Client programs that are not ours: running them, and what they need installed or compiled."""

import fcntl
import os
import re
import shutil
import subprocess

from harness import BUILDDIR, LIVE, PROGRAM_TIMEOUT_S, Skip, die_with_parent, result, show


def relay(command, env=None, cwd=None):
    """Runs a client program that prints its own `ok - name` and `not ok - name` lines, and passes
    them on as cases of this file. Fails when the program fails without having named a case."""
    environ = dict(os.environ)
    environ.update(env or {})
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=PROGRAM_TIMEOUT_S, env=environ, cwd=cwd,
                          preexec_fn=die_with_parent)
    output = done.stdout.decode("utf-8", "replace")
    failed = n_cases = 0
    for line in output.splitlines():
        m = re.match(r"(ok|not ok)(?: \d+)? - (.*)", line)
        if m:
            n_cases += 1
            failed += m[1] == "not ok"
            result(m[1] == "ok", m[2])
        else:
            show(line)
    assert n_cases > 0, "no case was run by %s (status %d)\n%s" % (command, done.returncode,
                                                                   output[-4000:])
    assert done.returncode == 0 and not failed, "status %d, %d failed" % (done.returncode, failed)


def cache_folder(name):
    """A folder below the build folder that outlives the test; the caller holds it alone."""
    path = os.path.join(BUILDDIR, "t", "live", "kept", name)
    os.makedirs(path, exist_ok=True)
    lock = open(os.path.join(path, ".lock"), "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return path, lock


_no_node_modules = []  # why, once it has been tried


def node_modules():
    """Installs the packages of t/live/node/package-lock.json once; returns the folder to run in."""
    if not shutil.which("npm"):
        raise Skip("no npm here")
    if _no_node_modules:
        raise Skip(_no_node_modules[0])
    path, lock = cache_folder("node")
    with lock:
        stamp = os.path.join(path, ".installed")
        wanted = os.path.join(LIVE, "node", "package-lock.json")
        if not os.path.exists(stamp) or os.path.getmtime(stamp) < os.path.getmtime(wanted):
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(os.path.join(LIVE, "node", name), os.path.join(path, name))
            done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts",
                                   "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"],
                                  cwd=path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=PROGRAM_TIMEOUT_S)
            if done.returncode != 0:
                show(done.stdout.decode("utf-8", "replace")[-3000:])
                _no_node_modules.append("the npm registry is not reachable")
                raise Skip(_no_node_modules[0])
            open(stamp, "w").close()
    return path
