"""What may stand in no file: paths of one machine, trailing blanks, forgotten marks."""
import os
import re

import tree

FOLDERS = tree.ROOMS + ["bench", "t", "doc", "m4", "debian"]
ENDINGS = [".c", ".h", ".def", ".am", ".m4", ".py", ".sh", ".md", ".1", ".txt", ".html"]
TOP = ["README.md", "HACKING.md", "NEWS.md", "SECURITY.md", "configure.ac", "Makefile.am", "dev"]
# Written in pieces, so that this file does not hold them.
PLACES = re.compile("/wo" + "rk/|/tmp/" + "h/|py" + "env|/ho" + "me/[a-z]|/ro" + "ot/")
MERGES = re.compile("^(<{7}|>{7}|[|]{7})( |$)")
MARKS = re.compile(r"\b(FIX" + "ME|XX" + "X|TO" + r"DO)\b")

paths = tree.files(FOLDERS, ENDINGS) + TOP


def faults(pattern, chosen):
    for path in chosen:
        for number, line in enumerate(tree.read(path).split("\n"), 1):
            if pattern.search(line):
                yield "%s:%d: %s" % (path, number, line.strip()[:80])


def broken_links():
    """Relative links of Markdown files that lead nowhere."""
    for path in paths:
        if not path.endswith(".md"):
            continue
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", tree.read(path)):
            if not os.path.exists(os.path.join(tree.ROOT, os.path.dirname(path), target)):
                yield "%s: %s" % (path, target)


def unended():
    for path in paths:
        text = tree.read(path)
        if text and not text.endswith("\n"):
            yield path


code = [path for path in paths if path.endswith((".c", ".h", ".def", ".py", ".am"))]
tap = tree.Tap()
tap.check("no file names a place of one machine", list(faults(PLACES, paths)))
tap.check("no mark was forgotten in the code", list(faults(MARKS, code)))
tap.check("no merge was left unresolved", list(faults(MERGES, paths)))
tap.check("no line ends in a blank", list(faults(re.compile(r"[ \t]+$"), code)))
tap.check("every file ends with a newline", list(unended()))
tap.check("links lead somewhere", list(broken_links()))
tap.end()
