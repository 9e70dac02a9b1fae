"""Plays one transcript: whole requests, byte by byte, or all of it in one write."""

import os
import re
import socket
import ssl
import struct

from transcript import Captured, PACKETS, Pattern

SINGLE_BYTES_MAX = 600  # of one request: of a long one the first and the last bytes go singly

NOOP = struct.pack(">BBHBBHIIQ", 0x80, 0x0A, 0, 0, 0, 0, 0, 0x5E471E1, 0)
NOOP_REPLY = b"\x81" + NOOP[1:]


CLOSED = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)


class Mismatch(Exception):
    def __init__(self, message, expected=b"", got=b""):
        super().__init__(message)
        self.expected = expected
        self.got = got


class Player:
    def __init__(self, server, transcript, timeout_s):
        self.transcript = transcript
        self.timeout_s = timeout_s
        self.captured = {}
        self.sockets = [server.connect(timeout_s) for _ in range(transcript.n_connections())]
        self.is_closed = [False] * len(self.sockets)

    def close(self):
        for connection in self.sockets:
            connection.close()

    # Bytes of steps

    def encode_number(self, name):
        if name not in self.captured:
            raise Mismatch("{cas:%s} was not received before" % name)
        value = self.captured[name]
        return struct.pack(">Q", value) if self.transcript.is_binary else b"%d" % value

    def bytes_to_send(self, parts):
        return b"".join(self.encode_number(part.name) if isinstance(part, Captured) else part
                        for part in parts)

    def expression_of(self, parts):
        """A regular expression of the parts, and the captures' names in order."""
        expression, names = b"", []
        for part in parts:
            if isinstance(part, Captured) and (part.name in self.captured or part.name in names):
                expression += (b"\\%d" % (names.index(part.name) + 1) if part.name in names
                               else re.escape(self.encode_number(part.name)))
            elif isinstance(part, Captured):
                expression += rb"(?s:(.{8}))" if self.transcript.is_binary else rb"(\d+)"
                names.append(part.name)
            elif isinstance(part, Pattern):
                expression += part.expression
            else:
                expression += re.escape(part)
        return expression, names

    def keep(self, match, names):
        for name, digits in zip(names, match.groups()):
            self.captured[name] = (struct.unpack(">Q", digits)[0] if self.transcript.is_binary
                                   else int(digits))

    # Talking

    def receive_some(self, index):
        try:
            return self.sockets[index].recv(1 << 20)
        except CLOSED:
            return b""
        except socket.timeout:
            return None

    def expect(self, index, parts):
        if any(isinstance(part, Pattern) and part.expression == PACKETS for part in parts):
            self.expect_packets(index, parts)
            return
        expression, names = self.expression_of(parts)
        if not expression:
            return
        wanted = re.compile(expression)
        is_literal = all(isinstance(part, bytes) for part in parts)
        n_wanted = len(b"".join(parts)) if is_literal else 0
        got = b""
        while True:
            if len(got) >= n_wanted:
                match = wanted.fullmatch(got)
                if match:
                    self.keep(match, names)
                    return
                if is_literal:
                    raise Mismatch("other bytes", expression, got)
            more = self.receive_some(index)
            if not more:
                raise Mismatch("closed" if more == b"" else "no more bytes", expression, got)
            got += more

    def receive_exactly(self, index, n):
        got = b""
        while len(got) < n:
            try:
                more = self.sockets[index].recv(n - len(got))
            except OSError as error:
                raise Mismatch("no whole packet: %s" % error, b"", got) from error
            if not more:
                raise Mismatch("closed inside a packet", b"", got)
            got += more
        return got

    def expect_packets(self, index, parts):
        """Packets of statistics until the one that is written behind {packets}."""
        last = b"".join(part for part in parts if isinstance(part, bytes))
        while True:
            header = self.receive_exactly(index, 24)
            body = self.receive_exactly(index, struct.unpack(">I", header[8:12])[0])
            if header + body == last:
                return
            if header[0:2] != last[0:2] or header[6:8] != b"\0\0" or header[12:16] != last[12:16]:
                raise Mismatch("not a packet of this list", last, header + body)
            if struct.unpack(">H", header[2:4])[0] == 0:
                raise Mismatch("not the last packet", last, header + body)

    def expect_close(self, index):
        got = self.receive_some(index)
        if got is None:
            raise Mismatch("not closed")
        if got != b"":
            raise Mismatch("bytes instead of a close", b"", got)
        self.is_closed[index] = True

    def send_whole(self, index, data):
        """Sends while receiving nothing; large answers do not come before large requests here."""
        try:
            self.sockets[index].sendall(data)
        except CLOSED:
            pass

    def send_bytes_singly(self, index, data):
        half = SINGLE_BYTES_MAX // 2
        at = 0
        while at < len(data):
            n = 1
            if at == half and len(data) > SINGLE_BYTES_MAX:
                n = len(data) - SINGLE_BYTES_MAX
            self.send_whole(index, data[at:at + n])
            os.sched_yield()
            at += n

    def check_silence(self):
        """Nothing may stand between the last answer and that of one more command."""
        for index, is_closed in enumerate(self.is_closed):
            if is_closed or self.transcript.open_end is not None:
                continue
            asked, answer = (NOOP, NOOP_REPLY) if self.transcript.is_binary else (b"mn\r\n", b"MN\r\n")
            self.send_whole(index, asked)
            try:
                self.expect(index, [answer])
            except Mismatch as error:
                raise Mismatch("behind the last answer: %s" % error, error.expected,
                               error.got) from error

    # The three ways

    def merged_steps(self):
        """Neighbouring steps of one direction and connection are one."""
        merged = []
        for step in self.transcript.steps:
            if (merged and step.direction != "closed" and merged[-1][0] == step.direction
                    and merged[-1][1] == step.connection):
                merged[-1][2].extend(step.parts)
            else:
                merged.append((step.direction, step.connection, list(step.parts)))
        return merged

    def play_steps(self, send):
        for direction, index, parts in self.merged_steps():
            if direction == ">":
                send(index, self.bytes_to_send(parts))
            elif direction == "<":
                self.expect(index, parts)
            else:
                self.expect_close(index)
        self.check_silence()

    def play_whole(self):
        self.play_steps(self.send_whole)

    def play_singly(self):
        self.play_steps(self.send_bytes_singly)

    def play_pipelined(self):
        sent, expected, closes = b"", [], False
        for step in self.transcript.steps:
            if step.direction == ">":
                sent += self.bytes_to_send(step.parts)
            elif step.direction == "<":
                expected.append(step)
            else:
                closes = True
        self.send_whole(0, sent)
        self.expect(0, [part for step in expected for part in step.parts])
        if closes:
            self.expect_close(0)
        self.check_silence()


def flush(server, timeout_s):
    """Empties the cache, in whichever dialect the server lets in."""
    connection = server.connect(timeout_s)
    try:
        connection.sendall(b"flush_all\r\n" + b"version\r\n" * 3)
        if connection.recv(4096) == b"":
            raise ConnectionResetError
    except (OSError, socket.timeout):
        connection.close()
        connection = server.connect(timeout_s)
        connection.sendall(b"\x80\x08" + b"\0" * 22)
        connection.recv(4096)
    connection.close()
