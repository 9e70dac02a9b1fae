#!/usr/bin/python3
"""Plays the transcripts inside TLS, with certificates made for this run."""

import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.environ.get("KEEPD", "./keepd")

if not os.access(PROGRAM, os.X_OK):
    print("1..0 # SKIP %s is not built" % PROGRAM)
    sys.exit(0)
with tempfile.TemporaryDirectory(prefix="wire-tls-") as folder:
    subprocess.run(["/bin/sh", os.path.join(HERE, "..", "certs"), folder], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    done = subprocess.run([sys.executable, os.path.join(HERE, "run.py"), "--tls", folder],
                          check=False)
sys.exit(done.returncode)
