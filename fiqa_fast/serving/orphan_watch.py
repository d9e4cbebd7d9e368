"""Ends a server whose owner has died without ending it, and tidies up behind both."""

from __future__ import annotations

import subprocess
from pathlib import Path

# Standard input is a pipe from the owner: it ends when the owner does, however that happens.
# By then another process may have the server's number, so its name is looked at first.
_SCRIPT = """
read -r _
if [ "$(cat /proc/"$1"/comm 2>/dev/null)" = tritonserver ]; then
    kill -TERM "$1"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -e /proc/"$1" ] && sleep 1
    done
    kill -KILL "$1" 2>/dev/null
fi
rm -rf "$2" "$3"*
"""


class OrphanWatch:
    """A small process that outlives its owner for a moment.

    Args:
        pid: of the server.
        folder: that is removed when the owner dies.
        shared_memory: what the paths begin with that are removed then.
    """

    def __init__(self, pid: int, folder: Path, shared_memory: Path) -> None:
        command = ["/bin/sh", "-c", _SCRIPT, "fiqa-serve-watch"]
        command += [str(pid), str(folder), str(shared_memory)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not for it
        )

    def end(self) -> None:
        """Ends the watch: the owner has ended the server itself."""
        self._process.kill()
        self._process.communicate()
