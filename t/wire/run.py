#!/usr/bin/python3
"""Plays the transcripts of bytes against a server and tells the results as TAP.

    run.py [--reference PROGRAM | --tls CERTIFICATES] [--only WORD] [--verbose]

Against $KEEPD every transcript is played three times: one request after the other, byte by byte,
and all in one write; with --tls inside TLS, but not byte by byte. --reference plays them once against another memcached and lists what differs;
each difference must stand with its reason in differences.txt.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from player import Mismatch, Player, flush  # noqa: E402
from server import PATIENCE_S, TLS_VERSIONS, Servers  # noqa: E402
import transcript as transcripts  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
REFERENCE_TIMEOUT_S = 0.4  # only differences that are listed wait for it in vain


class Tap:
    def __init__(self):
        self.n_tests = 0
        self.n_failed = 0

    def result(self, is_ok, name, notes=()):
        self.n_tests += 1
        self.n_failed += not is_ok
        print("%s %d - %s" % ("ok" if is_ok else "not ok", self.n_tests, name))
        self.notes(notes)

    def skip(self, name, reason):
        self.n_tests += 1
        print("ok %d - %s # SKIP %s" % (self.n_tests, name, reason))

    def notes(self, lines):
        for line in lines:
            print("# " + line)
        sys.stdout.flush()

    def end(self):
        print("1..%d" % self.n_tests)
        return 1 if self.n_failed else 0


def play(servers, transcript, way, timeout_s, version=None):
    """None when all went as written, else the Mismatch."""
    try:
        server = servers.get(transcript.settings())
        server.version = version
        flush(server, timeout_s)
        player = Player(server, transcript, timeout_s)
    except (OSError, RuntimeError) as error:
        return Mismatch("%s: %s" % (type(error).__name__, error))
    try:
        getattr(player, way)()
    except Mismatch as error:
        return error
    except OSError as error:
        return Mismatch("connection: %s" % error)
    finally:
        player.close()
    return None


def describe(error):
    lines = [str(error)]
    if error.expected:
        lines.append("expected %r" % error.expected[:400])
        lines.append("got      %r" % error.got[:400])
    return lines


def reason_not_pipelined(transcript):
    if transcript.one_request is not None:
        return transcript.one_request
    if transcript.uses_captures_when_sending():
        return "needs an answer to go on"
    if transcript.has_packets():
        return "a list without a known length"
    if transcript.n_connections() > 1:
        return "two connections"
    return None


def play_ways(servers, transcript, version):
    """[(what, Mismatch or None)] for each way in which this transcript can be played."""
    ways = [("", "play_whole")]
    if transcript.one_request is None and version is None:
        ways.append((" byte by byte", "play_singly"))
    if reason_not_pipelined(transcript) is None:
        ways.append((" pipelined", "play_pipelined"))
    within = " in " + version.name.replace("_", ".") if version else ""
    return [(what + within, play(servers, transcript, way, PATIENCE_S, version))
            for what, way in ways]


def run_keepd(program, chosen, certificates):
    tap, servers = Tap(), Servers(program, certificates)
    versions = TLS_VERSIONS if certificates else (None,)
    for transcript in chosen:
        if certificates and transcript.plain_only is not None:
            continue
        for version in versions:
            for what, error in play_ways(servers, transcript, version):
                tap.result(error is None, transcript.name + what, describe(error) if error else ())
    for options, log in servers.stop():
        tap.result(False, "the server with options '%s' ends in order" % options, log.split("\n"))
    return tap.end()


def read_differences():
    listed = {}
    with open(os.path.join(HERE, "differences.txt"), encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                name, _, reason = line.strip().partition(" ")
                listed[name] = reason.strip()
    return listed


def run_reference(program, chosen, is_verbose):
    tap, servers, listed = Tap(), Servers(program), read_differences()
    n_same = 0
    for transcript in chosen:
        if transcript.keepd_only is not None:
            continue
        error = play(servers, transcript, "play_whole", REFERENCE_TIMEOUT_S)
        if error is not None and transcript.name not in listed:
            error = play(servers, transcript, "play_whole", PATIENCE_S)
        if error is None:
            n_same += 1
            if transcript.name in listed:
                tap.notes(["%s: listed, but there is no difference" % transcript.name])
            continue
        reason = listed.get(transcript.name, "")
        tap.result(reason != "", "%s differs: %s" % (transcript.name, reason or "no reason given"),
                   describe(error) if is_verbose or not reason else ())
    tap.result(True, "%d transcripts are the same" % n_same)
    unknown = [name for name in listed if not os.path.exists(os.path.join(HERE, name))]
    tap.result(not unknown, "every listed difference is a transcript", unknown)
    servers.stop()
    return tap.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--reference")
    parser.add_argument("--tls", metavar="CERTIFICATES")
    parser.add_argument("--only", default="")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    chosen = [one for one in transcripts.read_all(HERE) if arguments.only in one.name]
    if arguments.reference:
        return run_reference(arguments.reference, chosen, arguments.verbose)
    program = os.environ.get("KEEPD", "./keepd")
    if not os.access(program, os.X_OK):
        print("1..0 # SKIP %s is not built" % program)
        return 0
    return run_keepd(program, chosen, arguments.tls)


if __name__ == "__main__":
    sys.exit(main())
