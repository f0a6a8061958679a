"""Processes by name: id and start together, since an id comes round again. On Linux; elsewhere the id alone."""

from __future__ import annotations

import os
from pathlib import Path


def process_name(pid: int) -> str:
    """The name of a process that runs: its id and when it started."""
    # A process id comes round again; together with its start it does not.
    return f"{pid}:{_fields(pid)[19] if _fields(pid) else ''}"


def pid_of(name: str) -> int:
    """The id in a process's name."""
    return int(name.partition(":")[0])


def is_alive(name: str) -> bool:
    """Whether the process of that name still runs; one that has ended and was not waited for does not."""
    pid = pid_of(name)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    fields = _fields(pid)
    return process_name(pid) == name and not (fields and fields[0] == "Z")


def commands_of_session(session: int) -> list[str] | None:
    """The command lines of all processes of a session; None where the system does not tell (no /proc)."""
    if not Path("/proc/self/stat").exists():
        return None
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        fields = _fields(int(folder.name))
        if len(fields) > 3 and fields[3] == str(session) and fields[0] != "Z":
            try:
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue  # It has ended meanwhile.
    return found


def _fields(pid: int) -> list[str]:
    """What /proc says of a process after its name: its state first."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[-1].split()
    except OSError:
        return []
