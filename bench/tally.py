"""What a long run counts: outcomes, the wrong ones, and memory."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass
class Count:
    """What was tried, and what of it came out wrong. start, end: resident MB after the first tenth, and at the end."""

    what: str
    tried: int = 0
    wrong: list[str] = field(default_factory=list)
    start: float = 0.0
    end: float = 0.0

    def expect(self, holds: bool, otherwise: str) -> None:
        """One outcome."""
        self.tried += 1
        if not holds:
            self.wrong.append(otherwise)

    def remember(self, step: int, steps: int) -> None:
        """Called after each of so many steps."""
        self.end = _resident_mb()
        if step <= steps // 10:
            self.start = self.end


def _resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
