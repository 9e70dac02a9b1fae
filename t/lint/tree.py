"""What the lint tests share: the tree's files, and TAP on stdout."""
import os
import sys

ROOT = os.environ.get("KEEPD_SRCDIR") or os.path.join(os.path.dirname(__file__), "..", "..")
BUILD = os.environ.get("KEEPD_BUILDDIR") or ROOT
ROOMS = ["base", "protocol", "cache", "auth", "tls", "server"]


def files(folders, endings):
    """Paths below ROOT, sorted, of the files in these folders that end so."""
    found = []
    for folder in folders:
        for where, below, names in os.walk(os.path.join(ROOT, folder)):
            below[:] = [name for name in below if name not in ("__pycache__", "node_modules")]
            for name in names:
                if name.endswith(tuple(endings)):
                    found.append(os.path.relpath(os.path.join(where, name), ROOT))
    return sorted(found)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


class Tap:
    """Each check is one line; faults are listed below the line they belong to."""

    def __init__(self):
        self.n = 0
        self.n_failed = 0

    def check(self, name, faults):
        self.n += 1
        if faults:
            self.n_failed += 1
        print("%s %d - %s" % ("not ok" if faults else "ok", self.n, name))
        for fault in faults:
            print("# " + fault)

    def note(self, text):
        print("# " + text)

    def end(self):
        print("1..%d" % self.n)
        sys.exit(1 if self.n_failed else 0)
