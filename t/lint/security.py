#!/usr/bin/python3
"""Every property in doc/security.md has a test, and the test is there under that name."""
import re

import tree

SECTIONS = {"Attacks and bad input": 58, "Login": 34, "TLS": 24, "Truth under load": 12, "Crowds": 4,
            "Hardening": 13, "Faults": 18, "Traps of OpenSSL under an event loop": 22}

text = tree.read("doc/security.md")


def rows():
    """(section, name, last cell) of every row of the tables."""
    section = ""
    for line in text.split("\n"):
        if line.startswith("## "):
            section = line[3:]
        cells = line.replace("\\|", "/").split("|")
        if line.startswith("| ") and cells[1].strip() not in ("property", "mistake"):
            yield section, cells[1].strip(), cells[-2].strip()


def untested():
    for section, name, cell in rows():
        if "`" not in cell and not cell.startswith("none: "):
            yield "%s: %s has neither a test nor a reason" % (section, name)


def exists(place):
    path, _, case = place.partition(":")
    try:
        source = tree.read(path)
    except FileNotFoundError:
        return False
    begin = r"START_TEST\(" if path.endswith(".c") else r"^@case\b.*\ndef "
    return not case or re.search("%s%s\\b" % (begin, re.escape(case)), source, re.M)


def absent():
    for section, name, cell in rows():
        for place in re.findall("`([^`]+)`", cell):
            if not exists(place):
                yield "%s: %s: %s is not there" % (section, name, place)


def miscounted():
    counts = {}
    for section, _, _ in rows():
        counts[section] = counts.get(section, 0) + 1
    for section, n in SECTIONS.items():
        if counts.get(section) != n:
            yield "%s has %s rows of %d" % (section, counts.get(section), n)


tap = tree.Tap()
tap.check("every property and mistake has a test or a reason", list(untested()))
tap.check("the tests are where doc/security.md says", list(absent()))
tap.check("no property was left out", list(miscounted()))
tap.end()
