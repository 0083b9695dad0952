"""What the kernel knows of a process."""

import os
import re
from pathlib import Path

from steps import Failed

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ESTABLISHED = "01"


class Process:
    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.folder = Path(f"/proc/{pid}")

    def must_live(self) -> None:
        stat = self._stat()
        if not stat or stat[0] == "Z":
            raise Failed(f"process {self.pid} has ended")

    def memory_mb(self) -> float:
        """What is resident now, in units of 1,000,000 bytes."""
        return memory_kib(self.pid, "VmRSS") * 1024 / 1e6

    def peak_mb(self) -> float:
        """The most that was ever resident."""
        return memory_kib(self.pid, "VmHWM") * 1024 / 1e6

    def cpu_s(self) -> float:
        """Processor time so far, of all threads, in the program and in the kernel."""
        stat = self._stat()
        return (int(stat[11]) + int(stat[12])) / TICKS_PER_S

    def threads(self) -> int:
        return len(list((self.folder / "task").iterdir()))

    def connections_to(self, port: int) -> int:
        """Established TCP connections over IPv4."""
        inodes = set()
        for descriptor in (self.folder / "fd").iterdir():
            try:
                target = os.readlink(descriptor)
            except FileNotFoundError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
        lines = (self.folder / "net/tcp").read_text(encoding="ascii").splitlines()[1:]
        rows = [line.split() for line in lines]
        return sum(row[3] == ESTABLISHED and row[9] in inodes and int(row[2].rpartition(":")[2], 16) == port for row in rows)

    def summary(self) -> str:
        return f"operator {self.memory_mb():.0f} MB, {self.cpu_s():.0f} s of processor time, {self.threads()} threads"

    def _stat(self) -> list[str]:
        """The fields after the command's name, which may hold spaces."""
        try:
            return (self.folder / "stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
        except FileNotFoundError:
            return []


def memory_kib(pid: int, field: str) -> int:
    """VmRSS or VmHWM (its peak) of a process."""
    match = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise SystemExit(f"process {pid} has no {field}")
    return int(match.group(1))
