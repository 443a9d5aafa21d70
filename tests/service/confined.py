"""Runs a command as the unit does: its user kind, its capabilities, no new privileges, its system call filter.

`python confined.py UNIT COMMAND...` sets the filter on itself and becomes the command; setpriv, before it, does the
rest. x86-64 only, where the numbers come from the kernel's header.
"""

import ctypes
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38
AUDIT_ARCH_X86_64 = 0xC000003E
ALLOW, ERRNO_EPERM, KILL = 0x7FFF0000, 0x00050001, 0x80000000
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06


def numbers() -> dict[str, int]:
    """Return system call name -> number."""
    found = re.findall(r"#define __NR_(\w+)\s+(\d+)", HEADER.read_text())
    return {name: int(number) for name, number in found}


def members(group: str) -> set[str]:
    """Return the system calls of a systemd group like @system-service, or the one call named."""
    if not group.startswith("@"):
        return {group}
    done = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True)
    words = [line.strip() for line in done.stdout.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*(members(word) for word in words))


def setting(unit: str, key: str) -> list[str]:
    """Return the values of *key* in the unit file, in order."""
    return re.findall(rf"(?m)^{key}=(.*)$", Path(unit).read_text())


def allowed(unit: str) -> set[str]:
    """Return the system calls that the unit's SystemCallFilter lines leave, applied in order."""
    calls: set[str] = set(members("@default"))
    for line in setting(unit, "SystemCallFilter"):
        groups = line.removeprefix("~").split()
        named = set().union(*(members(group) for group in groups))
        calls = calls - named if line.startswith("~") else calls | named
    return calls


def confine(calls: set[str]) -> None:
    """Refuse, with EPERM, every system call of this process and its children that is not in *calls*."""
    known = numbers()
    program = [struct.pack("HBBI", LOAD, 0, 0, 4), struct.pack("HBBI", JUMP_EQUAL, 1, 0, AUDIT_ARCH_X86_64)]
    program += [struct.pack("HBBI", RETURN, 0, 0, KILL), struct.pack("HBBI", LOAD, 0, 0, 0)]
    for number in sorted(known[name] for name in calls if name in known):
        program += [struct.pack("HBBI", JUMP_EQUAL, 0, 1, number), struct.pack("HBBI", RETURN, 0, 0, ALLOW)]
    program.append(struct.pack("HBBI", RETURN, 0, 0, ERRNO_EPERM))
    code = ctypes.create_string_buffer(b"".join(program))
    filter_program = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_program):
        raise OSError(ctypes.get_errno(), "prctl")


def main() -> None:
    """Confine and become the command."""
    unit, *command = sys.argv[1:]
    confine(allowed(unit))
    os.execv(command[0], command)  # the command is the test's own


if __name__ == "__main__":
    main()
