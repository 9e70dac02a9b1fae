"""Transcripts: bytes sent and bytes expected, read from *.wire files.

A file is one behaviour. Its lines:
  # words                 comment; some of them mean something:
  # options: ARGUMENTS    the server's command line; those with equal settings share a server
  # environment: NAME=VALUE
  # file NAME: LINE       a line of a file in the server's folder, which {folder} stands for above
  # keepd-only: REASON    not played against the reference
  # plain-only: REASON    not played inside TLS
  # open-end: REASON      no last question to see that nothing more was answered
  # one-request: REASON   not played pipelined or byte by byte
  > bytes                 to be sent
  < bytes                 to be received
  >2 bytes, <2 bytes      the same on a second connection
  <closed>, <2closed>     the server closes

In text/ and meta/ bytes are written with C escapes: > set a 0 0 1\\r\\n
In binary/ as hex and "strings", | and spaces mean nothing, and # begins a comment.

In braces:
  {x*300}      the character x 300 times            (both ways; binary: inside a string)
  {cas:NAME}   a number: received it is kept under NAME, sent or received again it is that one
               (text: digits; binary: 8 bytes)
  {number}     digits; binary {any*N}: N bytes of any value        (received only)
  {about:N}    N seconds, or a few less                         (text, received only)
  {any}        anything but a line's end                           (text, received only)
  {lines}      any number of whole lines                           (text, received only)
  {packets}    any number of packets without an error              (binary, received only)
A brace itself is \\x7b.
"""

import os
import re

TOKEN = re.compile(r"\{([^{}]*)\}")
LINE = re.compile(r"([<>])(2?) (.*)\Z", re.DOTALL)


class Malformed(Exception):
    pass


class Captured:
    """A place for a number that is only known when it was received."""

    def __init__(self, name):
        self.name = name


class Pattern:
    """A regular expression for bytes of which only the shape is known."""

    def __init__(self, expression):
        self.expression = expression


LATE_MAX = 15  # seconds that a transcript may have taken
PACKETS = b"PACKETS"  # not an expression: player.py follows the lengths instead


def unescape(text):
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def text_token(word):
    if word.startswith("cas:"):
        return Captured(word[4:])
    if word.startswith("about:"):
        seconds = int(word[6:])
        return Pattern(b"(?:%s)" % b"|".join(b"%d" % (seconds - late) for late in range(LATE_MAX)))
    patterns = {
        "number": rb"\d+",
        "any": rb"[^\r\n]*",
        "lines": rb"(?:[^\r\n]*\r\n)*?",
    }
    if word in patterns:
        return Pattern(patterns[word])
    return repeated(word)


def repeated(word):
    match = re.fullmatch(r"(.|\\x..)\*(\d+)", word)
    if not match:
        raise Malformed("unknown {%s}" % word)
    return unescape(match.group(1)) * int(match.group(2))


def parse_text(text):
    parts, at = [], 0
    for match in TOKEN.finditer(text):
        parts.append(unescape(text[at:match.start()]))
        parts.append(text_token(match.group(1)))
        at = match.end()
    parts.append(unescape(text[at:]))
    return [part for part in parts if part != b""]


BINARY = re.compile(r'\s+|\||#.*|"((?:[^"\\]|\\.)*)"|\{([^{}]*)\}|([0-9a-fA-F]{2})')


def binary_token(word):
    if word.startswith("cas:"):
        return Captured(word[4:])
    if word == "packets":
        return Pattern(PACKETS)
    if word.startswith("any*"):
        return Pattern(rb"(?s:.{%d})" % int(word[4:]))
    return repeated(word)


def parse_binary(text):
    parts, at = [], 0
    while at < len(text):
        match = BINARY.match(text, at)
        if not match:
            raise Malformed("neither hex nor string: %s" % text[at:])
        at = match.end()
        string, token, digits = match.groups()
        if string is not None:
            parts.extend(parse_text(string))
        elif token is not None:
            parts.append(binary_token(token))
        elif digits is not None:
            parts.append(bytes.fromhex(digits))
    return parts


class Step:
    """Parts to send (direction '>'), to receive ('<') or the close ('closed')."""

    def __init__(self, direction, connection, parts):
        self.direction = direction
        self.connection = connection
        self.parts = parts


class Transcript:
    def __init__(self, path, name):
        self.name = name
        self.is_binary = name.startswith("binary/")
        self.options = ""
        self.environment = ""
        self.files = ""
        self.keepd_only = None
        self.plain_only = None
        self.one_request = None
        self.open_end = None
        self.steps = []
        with open(path, encoding="latin-1", newline="\n") as file:
            for number, line in enumerate(file, 1):
                try:
                    self.read_line(line.rstrip("\n"))
                except (Malformed, ValueError) as error:
                    raise Malformed("%s:%d: %s" % (name, number, error)) from error

    def read_line(self, line):
        if line.startswith("#"):
            self.read_comment(line[1:].strip())
        elif line in ("<closed>", "<2closed>"):
            self.steps.append(Step("closed", 1 if line == "<2closed>" else 0, []))
        elif line != "":
            match = LINE.match(line)
            if not match:
                raise Malformed("a line is a comment, > or <")
            direction, second, text = match.groups()
            parts = (parse_binary if self.is_binary else parse_text)(text)
            self.steps.append(Step(direction, 1 if second else 0, parts))

    def read_comment(self, text):
        word, colon, rest = text.partition(":")
        if not colon:
            return
        if word == "options":
            self.options = rest.strip()
        elif word == "environment":
            self.environment = rest.strip()
        elif word.startswith("file "):
            self.files += "%s\n%s\n" % (word[5:], rest.strip())
        elif word == "keepd-only":
            self.keepd_only = rest.strip()
        elif word == "plain-only":
            self.plain_only = rest.strip()
        elif word == "open-end":
            self.open_end = rest.strip()
        elif word == "one-request":
            self.one_request = rest.strip()

    def settings(self):
        """What a server must have been started with to be shared."""
        return (self.options, self.environment, self.files)

    def uses_captures_when_sending(self):
        return any(step.direction == ">" and any(isinstance(part, Captured) for part in step.parts)
                   for step in self.steps)

    def has_packets(self):
        return any(isinstance(part, Pattern) and part.expression == PACKETS
                   for step in self.steps for part in step.parts)

    def n_connections(self):
        return 1 + max((step.connection for step in self.steps), default=0)


def read_all(top):
    transcripts = []
    for folder in ("text", "meta", "binary"):
        for file in sorted(os.listdir(os.path.join(top, folder))):
            if file.endswith(".wire"):
                name = folder + "/" + file
                transcripts.append(Transcript(os.path.join(top, name), name))
    return transcripts
