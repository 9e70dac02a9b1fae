#!/usr/bin/python3
"""Plays the transcripts against Debian's memcached; every difference must be listed and explained."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
REFERENCE = "/usr/bin/memcached"

if not os.access(REFERENCE, os.X_OK):
    print("1..0 # SKIP %s is not installed" % REFERENCE)
    sys.exit(0)
os.execv(sys.executable, [sys.executable, os.path.join(HERE, "run.py"), "--reference", REFERENCE])
