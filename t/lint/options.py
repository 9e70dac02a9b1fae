"""doc/keepd.1 and README against server/options.def: every option has its entry and its default."""
import re

import tree

ROW = re.compile(r'^(OPTION|SUBOPTION)\((\w+), "([^"]+)",(?: (0|\'.\'),)? (\w+), ([^,]+),', re.M)
EFFECT = re.compile(r", (LIVE|START|NONE),")


def rows():
    text = tree.read("server/options.def")
    for match in ROW.finditer(text):
        kind, field, name, letter, _, default = match.groups()
        effect = EFFECT.search(text, match.end()).group(1)
        yield kind, name, (letter or "0").strip("'"), default.strip(), effect


def option_faults(manual):
    for kind, name, letter, _, _ in rows():
        if kind != "OPTION":
            continue
        entry = ".It Fl %s , Fl -%s" % (letter, name) if letter != "0" else ".It Fl -%s" % name
        if not re.search("^" + re.escape(entry) + r"(?= |$)", manual, re.M):
            yield "doc/keepd.1 has no entry \"%s\"" % entry


def word_faults(manual):
    for kind, name, _, _, _ in rows():
        if kind == "SUBOPTION" and not re.search(r"^\.It Cm (no_ Ns )?%s(?= |$)" % name, manual, re.M):
            yield "doc/keepd.1 has no entry \".It Cm %s\"" % name


def stranger_faults(manual):
    names = {name for _, name, _, _, _ in rows()}
    for name in re.findall(r"^\.It (?:Fl \w , )?Fl -([\w-]+)", manual, re.M) + \
            re.findall(r"^\.It Cm (?:no_ Ns )?(\w+)", manual, re.M):
        if name not in names:
            yield "doc/keepd.1 explains \"%s\", which is no option" % name


def inert_faults(manual):
    head, _, tail = manual.partition(".Sh OPTIONS WITHOUT EFFECT")
    for _, name, _, _, effect in rows():
        entry = re.compile(r"^\.It (Fl \w , Fl -|Cm (no_ Ns )?)%s(?= |$)" % re.escape(name), re.M)
        if effect == "NONE" and entry.search(head):
            yield "doc/keepd.1 promises an effect of \"%s\"" % name
        if effect != "NONE" and entry.search(tail):
            yield "doc/keepd.1 denies the effect of \"%s\"" % name


def letter_faults():
    seen = {}
    for kind, name, letter, _, _ in rows():
        if letter != "0" and seen.setdefault(letter, name) != name:
            yield "-%s is %s and %s" % (letter, seen[letter], name)


def unused_fields():
    """Options that claim an effect, but whose field nothing reads. Not a fault by itself: the part
    that reads it may not be built in."""
    text = tree.read("server/options.def")
    own = {"server/options.c", "server/settings.c", "server/print_help.c",
           "server/options_check.c", "server/option_value.c"}
    users = " ".join(tree.read(path) for path in tree.files(["server"], [".c"]) if path not in own)
    for kind, field, name, effect in re.findall(
            r'^(OPTION|SUBOPTION)\((\w+), "([^"]+)",[^"]*?, (LIVE|START),', text, re.M):
        if not re.search(r"(->|\.)%s\b" % field, users):
            yield name


tap = tree.Tap()
manual = tree.read("doc/keepd.1")
n_rows = len(re.findall(r"^(?:SUB)?OPTION\(", tree.read("server/options.def"), re.M))
tap.check("every row of options.def is understood",
          [] if n_rows == len(list(rows())) else ["%d of %d" % (len(list(rows())), n_rows)])
tap.check("every option is in the manual", list(option_faults(manual)))
tap.check("every word of -o is in the manual", list(word_faults(manual)))
tap.check("the manual invents no option", list(stranger_faults(manual)))
tap.check("the manual says truly what has an effect", list(inert_faults(manual)))
tap.check("no letter stands for two options", list(letter_faults()))
tap.note("read by nothing but the options themselves: " + ", ".join(unused_fields()))
tap.end()
