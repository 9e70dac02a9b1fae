#!/usr/bin/python3
"""What is packed and what is installed: every file of the tree is in the archive of make dist, and
make install puts programs, manuals and units where they belong. The Debian package is built from
the same archive: make deb."""

import os
import re
import shutil
import subprocess

from harness import BUILDDIR, PROGRAM_TIMEOUT_S, SRCDIR, TIMEOUT_S, Skip, case, folder, run

# Not for who unpacks the archive.
LEFT_OUT = (".ci/", ".gitignore", "debian/.gitignore")


def make(*args, where=BUILDDIR):
    environ = {name: value for name, value in os.environ.items()
               if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", "-s", "-C", where, *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environ, timeout=PROGRAM_TIMEOUT_S)
    assert done.returncode == 0, done.stdout.decode("utf-8", "replace")[-3000:]


def below(path):
    found = set()
    for where, _, names in os.walk(path):
        found.update(os.path.relpath(os.path.join(where, name), path) for name in names)
    return found


@case
def archive_is_complete():
    if not os.path.exists(os.path.join(SRCDIR, ".git")) or not shutil.which("git"):
        raise Skip("no git here")
    listed = subprocess.run(["git", "-C", SRCDIR, "-c", "safe.directory=*", "ls-files", "-z"],
                            stdout=subprocess.PIPE, check=True).stdout.decode().split("\0")
    wanted = {name for name in listed if name and not name.startswith(LEFT_OUT)
              and os.path.exists(os.path.join(SRCDIR, name))}
    name = "packed-%d" % os.getpid()
    path = os.path.join(BUILDDIR, name)
    try:
        make("distdir", "distdir=" + name)
        missing = sorted(wanted - below(path))
    finally:
        subprocess.run(["chmod", "-R", "u+w", path])
        shutil.rmtree(path, ignore_errors=True)
    assert not missing, "not in the archive: %s" % " ".join(missing)


@case
def install():
    path = folder()
    make("install", "DESTDIR=" + path, "prefix=/usr")
    found = below(path)
    for name in ("bin/keepd", "bin/keepctl", "share/man/man1/keepd.1", "share/man/man1/keepctl.1",
                 "share/doc/keepd/LICENSE", "lib/systemd/system/keepd.service",
                 "lib/systemd/system/keepd.socket"):
        assert "usr/" + name in found, sorted(found)
    status = subprocess.run([os.path.join(path, "usr/bin/keepd"), "-V"], stdout=subprocess.PIPE)
    assert status.returncode == 0 and b"keepd" in status.stdout
    with open(os.path.join(path, "usr/lib/systemd/system/keepd.service")) as f:
        unit = f.read()
    assert re.search(r"^ExecStart=/\S*/bin/keepd ", unit, re.M), unit
    make("uninstall", "DESTDIR=" + path, "prefix=/usr")
    assert not below(path), sorted(below(path))


def after(script, verb):
    """What is left in a small root when the package's script has run in it with this verb."""
    root = folder()
    for name in ("var/lib/private/keepd/items", "var/log/private/keepd/log", "var/lib/other/file",
                 "etc/keepd/tenants.conf", "etc/default/keepd"):
        os.makedirs(os.path.join(root, os.path.dirname(name)), exist_ok=True)
        with open(os.path.join(root, name), "w"):
            pass
    for name in ("var/lib/keepd", "var/log/keepd"):
        os.symlink("private/keepd", os.path.join(root, name))
    done = subprocess.run(["/bin/sh", os.path.join(SRCDIR, "debian", script), verb],
                          env={"PATH": os.environ["PATH"], "DPKG_ROOT": root}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S)
    assert done.returncode == 0 and not done.stdout, (script, verb, done)
    for name in ("etc/keepd", "var/lib/private", "var/log/private"):
        assert os.path.isdir(os.path.join(root, name)), (script, verb, name)
    return below(root)


@case
def purge_leaves_what_others_made():
    """dpkg itself removes etc/default/keepd, the only file of the package that is configuration."""
    whole = after("keepd.postrm", "remove")
    assert len(whole) >= 5, whole
    for script, verb in (("keepd.postrm", "upgrade"), ("keepd.postrm", "abort-install"),
                         ("keepd.postrm", "disappear"), ("keepd.prerm", "remove"),
                         ("keepd.prerm", "upgrade")):
        assert after(script, verb) == whole, (script, verb)
    assert after("keepd.postrm", "purge") == {"var/lib/other/file", "etc/keepd/tenants.conf",
                                              "etc/default/keepd"}


@case
def upgrade_leaves_the_socket_alone():
    """The scripts that debhelper makes: they stop the socket at no time, for none starts it again."""
    if shutil.which("dh_installsystemd") is None:
        raise Skip("debhelper is not installed")
    path = folder()
    units = os.path.join(path, "debian", "keepd", "lib", "systemd", "system")
    os.makedirs(units)
    for name in ("changelog", "control", "rules"):
        shutil.copy(os.path.join(SRCDIR, "debian", name), os.path.join(path, "debian"))
    for name in ("keepd.service", "keepd.socket"):
        with open(os.path.join(units, name), "w") as f:
            f.write("[Unit]\n[Install]\nWantedBy=multi-user.target\n")
    make("-f", "debian/rules", "override_dh_installsystemd", where=path)
    made = ""
    for where, _, names in os.walk(os.path.join(path, "debian", ".debhelper")):
        for name in names:
            with open(os.path.join(where, name)) as f:
                made += f.read()
    assert "restart" in made and "keepd.service" in made, made
    assert not re.search(r"stop.*keepd\.socket", made), made


run()
