"""The exceptions that cross a module's border.

    DnstapBgpError
      ConfigError        the configuration file; carries every problem at once
        PassingError       it could not be read for a reason that passes by itself
      ListError          a domain list that can't be used as a whole
        BadNameError       a text that is no domain name
      FrameError         Frame Streams: a peer broke the framing or the handshake
      ListenerError      a DNSTap listener can't be opened where the configuration wants it
      DnsError           a DNS message is truncated, lying or looping
        WorkExceededError  the budget of work for a chunk of messages is spent: this one was not read to its end
          PatternsFailedError  keywords and expressions can't be asked: nothing is known of a name
      HoldMessageError   a message of a hook is no question
      HostError          ExaBGP: missing, of another major version, or not answering
      StateFileError     the state file
        ForeignFileError   a file of another kind or a newer version: never overwritten
      BadValueError      an address, a prefix or BGP attributes from outside are none
      PeerError          what a peer of the sync says can't be used
      CommandError       a command for a person can't do its work
        UnreachableError   the running plugin can't be reached
        OlderPluginError   the running plugin does not know what is asked of it

Internals raise one of these; the edge (a worker or a command) turns it into a log line, a counter or an exit status.
"""

from dataclasses import dataclass


class DnstapBgpError(Exception):
    """Base of every exception that this program raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file that a person wrote.

    Attributes:
        where: The file, with its line or key: `lists/a.txt:12`, `dnstap-bgp.toml: bgp.peers[0].address`.
        what: What is wrong and what would be right, one sentence.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class ConfigError(DnstapBgpError):
    """The configuration can't be used; `problems` has every reason."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class PassingError(ConfigError):
    """The configuration was not read for want of memory, processes or time: it may be in order, and be read later."""


class ListError(DnstapBgpError):
    """A list can't be used as a whole (unreadable, empty, half-written)."""


class BadNameError(ListError):
    """A text is no domain name; the message is the reason, without the text."""


class FrameError(DnstapBgpError):
    """A DNSTap sender broke the framing: the message tells offset, got and limit.

    Attributes:
        fault: Which kind of mistake it is (a value of `core.tap.framestream.Fault`), for counters and for advice.
    """

    def __init__(self, message: str, fault: str) -> None:
        super().__init__(message)
        self.fault = fault


class ListenerError(DnstapBgpError):
    """A DNSTap listener can't be opened: the message tells its address, why, and what would help."""


class DnsError(DnstapBgpError):
    """A DNS message can't be read: the message tells offset, got and limit."""


class WorkExceededError(DnsError):
    """The budget of work for a chunk of DNSTap frames is spent; nothing is known of the message that raised it."""


class PatternsFailedError(WorkExceededError):
    """The expressions of the lists have run out of memory: whether a name is on a list is not known."""


class HoldMessageError(DnstapBgpError):
    """A message of a resolver's hook is no question: the message tells offset, got and limit."""


class HostError(DnstapBgpError):
    """ExaBGP is missing, of another major version, or does not answer."""


class StateFileError(DnstapBgpError):
    """The state file can't be read or written."""


class ForeignFileError(StateFileError):
    """The file is of another kind or of a newer version: it is left as it is."""


class BadValueError(DnstapBgpError):
    """An address, a prefix or BGP attributes from outside are none; the message has nothing of them."""


class PeerError(DnstapBgpError):
    """A peer of the sync says what it may not, or not what it should: the message is for the log."""


class CommandError(DnstapBgpError):
    """A command can't do its work; the text is for the person who typed it."""


class UnreachableError(CommandError):
    """The running plugin can't be reached: the message tells where, why, and what would help."""


class OlderPluginError(CommandError):
    """The running plugin has no such HTTP path: it is of an earlier version than the command that asks."""
