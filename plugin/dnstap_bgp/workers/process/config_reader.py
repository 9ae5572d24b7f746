"""Read the configuration in a child process, which validates it with pydantic, so that the plugin needs none.

No thread of its own. The child is of our own code and hands over pickled `config.settings`. What is wrong with the file
comes back as it would from `config.load`; that takes half a second, in which no thread of ours stands still.
"""

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dnstap_bgp import __version__
from dnstap_bgp.errors import ConfigError, PassingError, Problem

if TYPE_CHECKING:
    from dnstap_bgp.config import Config

TIME_LIMIT_S = 30.0
"""A machine that is so busy is no reason to hang a reload for good."""

_PASSING = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
_NO_MEMORY = os.EX_TEMPFAIL
"""The child's exit status for that."""


def load(path: Path) -> "Config":
    """Read a configuration file; like `config.load`, without its 20 MB.

    Raises:
        PassingError: There is no child, or it was ended, for a reason that passes.
        ConfigError: The file can't be read or used, or there never is a child; has every problem at once.
    """
    path = path.absolute()
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", __name__, str(path), __version__],
            stdin=subprocess.DEVNULL,  # never ours: the host's answers come there
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            start_new_session=True,  # a Ctrl-C is for us
            timeout=TIME_LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        problem = Problem(str(path), f"can't be read by a child process: {error}")
        raise (PassingError if _passes(error) else ConfigError)([problem]) from None
    try:
        found: Config | list[Problem] = pickle.loads(done.stdout)  # noqa: S301 - what our own code has just written
    except (pickle.UnpicklingError, EOFError, ImportError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"the child process that reads it is of another version, it seems: restart ExaBGP ({error})"
        raise ConfigError([Problem(str(path), what)]) from None
    if isinstance(found, list):
        raise ConfigError(found)
    return found


def _passes(error: OSError | subprocess.SubprocessError) -> bool:
    """Tell whether a child may do better in a while: there was no memory or time for this one, or it was killed."""
    if isinstance(error, OSError):
        return error.errno in _PASSING
    if isinstance(error, subprocess.CalledProcessError):
        return error.returncode < 0 or error.returncode == _NO_MEMORY
    return isinstance(error, subprocess.TimeoutExpired)


def main() -> None:
    """Be the child: a path and the parent's version in, a configuration or its problems out."""
    path = Path(sys.argv[1])
    if sys.argv[2:] != [__version__]:
        # After an upgrade a plugin that runs on has the classes of its own version: ours would crash it. 0.1.0 tells
        # its version not at all. Text is the same in all of them.
        what = f"the plugin that runs is of another version than {__version__}, which is installed: restart the service"
        sys.stdout.buffer.write(pickle.dumps([Problem(str(path), what)]))
        return
    from dnstap_bgp.config import exabgp_sessions  # noqa: PLC0415 - only here
    from dnstap_bgp.config import load as load_here  # noqa: PLC0415 - imports pydantic

    found: object
    try:
        found = exabgp_sessions.look_up_budgets(exabgp_sessions.look_up_list_peers(load_here(path)))
        found = exabgp_sessions.look_up_margins(found)
    except ConfigError as error:
        found = error.problems
    except MemoryError:
        sys.exit(_NO_MEMORY)
    sys.stdout.buffer.write(pickle.dumps(found))


if __name__ == "__main__":
    main()
