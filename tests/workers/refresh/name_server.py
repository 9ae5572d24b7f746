"""A name server on loopback for tests: answers what it is told to, or nothing, and remembers the questions."""

import socket
import threading
from typing import Self

import dns.message
import dns.rrset


class NameServer:
    """Answers each question with these records; use as a context manager.

    Attributes:
        records: Type -> text of the record; of others the answer is empty.
        answers: False: it takes questions and stays silent.
        questions: (name, type, ID), in order.
    """

    def __init__(self, records: dict[str, str] | None = None, ttl_s: int = 300) -> None:
        self.records = {"A": "11.0.0.1"} if records is None else records
        self.ttl_s = ttl_s
        self.answers = True
        self.questions: list[tuple[str, str, int]] = []
        self.sent: list[bytes] = []
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(5)
        self._sock.close()

    def names(self) -> set[str]:
        return {name for name, _, _ in self.questions}

    def _run(self) -> None:
        while True:
            wire, client = self._sock.recvfrom(65535)
            if not wire:
                return
            query = dns.message.from_wire(wire)
            [question] = query.question
            kind = question.rdtype.name
            self.questions.append((question.name.to_text(omit_final_dot=True), kind, query.id))
            if not self.answers:
                continue
            answer = dns.message.make_response(query)
            if kind in self.records:
                answer.answer.append(dns.rrset.from_text(question.name, self.ttl_s, "IN", kind, self.records[kind]))
            self.sent.append(answer.to_wire())
            self._sock.sendto(self.sent[-1], client)
