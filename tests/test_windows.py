"""ormis without the parts of Python that Windows lacks: it works with remote servers, the embedded one says why not."""

import subprocess
import sys

import pytest

WITHOUT = """
import os, signal, socket, sys
for module in ("fcntl", "grp", "pwd", "resource", "termios", "pty", "syslog"):
    sys.modules[module] = None
for owner, name in ((os, "register_at_fork"), (os, "fork"), (os, "getuid"), (os, "geteuid"), (os, "setsid"),
                    (socket, "AF_UNIX"), (signal, "SIGKILL"), (signal, "SIGHUP"), (signal, "SIGALRM")):
    if hasattr(owner, name):
        delattr(owner, name)
import ormis
"""

USE = """
class Poll(ormis.Model):
    title: str = ""

with ormis.connect("redis://127.0.0.1:1/0") as db:
    try:
        Poll.objects.count()
    except Exception as error:
        print(type(error).__module__, type(error).__name__)
"""

EMBEDDED = """
try:
    ormis.connect("embedded://")
except ormis.OrmisError as error:
    print(error)
"""


def ran(code: str) -> str:
    """The output of this code after `import ormis` as on Windows."""
    done = subprocess.run([sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ormis_is_imported_without_posix() -> None:
    """No module of ormis needs what only POSIX has."""
    assert ran("print(ormis.Model.__name__)") == "Model\n"


def test_a_remote_server_is_called_without_posix() -> None:
    """A call goes to the network: where nobody listens, the error is that of redis-py."""
    assert ran(USE) == "redis.exceptions ConnectionError\n"


def test_the_embedded_server_says_that_it_needs_posix() -> None:
    """The embedded server is refused, with what to do instead."""
    assert "does not run on Windows: pass the URL of a server" in ran(EMBEDDED)


@pytest.mark.parametrize("module", ["ormis.maintenance", "ormis.__main__", "ormis.drivers.fake"])
def test_other_modules_are_imported_without_posix(module: str) -> None:
    """Nor do the modules that `import ormis` does not import."""
    assert ran(f"import {module}; print('ok')") == "ok\n"
