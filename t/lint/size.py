"""How long files, functions and lines are: the ten worst are shown, beyond the limits it fails."""
import tree

FILE_MAX = 1000
FUNCTION_MAX = 100
LINE_MAX = 110  # the layout aims at 100; a comment may stand out a little
# Functions that are tables in disguise: "path:name".
ALLOWED_FUNCTIONS = set()


def functions(path):
    """(lines, name) of each function: its body stands between braces in the first column."""
    lines = tree.read(path).split("\n")
    start = None
    for number, line in enumerate(lines):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            yield number - start + 1, name_above(lines, start)
            start = None


def name_above(lines, start):
    """The word before the first parenthesis of the signature that ends above the brace."""
    first = start
    while first > 0 and lines[first - 1] and lines[first - 1][0] not in "}#/*":
        first -= 1
    head = " ".join(lines[first:start]).split("(")
    words = head[0].replace("*", " ").split()
    if words and words[-1] in ("START_TEST", "__attribute__") and len(head) > 1:
        return head[1].split(")")[0]
    return words[-1] if words else "?"


def show(title, rows):
    tap.note(title)
    for n, name in sorted(rows, reverse=True)[:10]:
        tap.note("  %5d  %s" % (n, name))


sources = tree.files(tree.ROOMS + ["bench", "t"], [".c", ".h"])
tap = tree.Tap()

sizes = [(tree.read(path).count("\n"), path) for path in sources]
show("longest files", sizes)
tap.check("no file is longer than %d lines" % FILE_MAX,
          ["%s: %d lines" % (path, n) for n, path in sizes if n > FILE_MAX])

bodies = [(n, "%s:%s" % (path, name)) for path in sources for n, name in functions(path)]
show("longest functions", bodies)
lengths = sorted(n for n, name in bodies)
tap.note("functions: %d, median %d lines, 95 %% below %d" % (
    len(lengths), lengths[len(lengths) // 2], lengths[len(lengths) * 95 // 100] + 1))
tap.check("no function is longer than %d lines" % FUNCTION_MAX,
          ["%s: %d lines" % (name, n) for n, name in bodies
           if n > FUNCTION_MAX and name not in ALLOWED_FUNCTIONS])

wide = ["%s:%d: %d columns" % (path, number, len(line))
        for path in sources
        for number, line in enumerate(tree.read(path).split("\n"), 1) if len(line) > LINE_MAX]
tap.check("no line is wider than %d columns" % LINE_MAX, wide)
tap.end()
