"""Words that the product does not use any more, each with what is said instead: `python .ci/retired_words.py`.

Code, documentation and texts of the product are read, line by line. Exit code 1 where one is found.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("perennial", "flows", "tasks", "configs", "docs", "README.md", "CONTRIBUTING.md", "prefect.yaml", "docker")
WORDS = {
    r"\brooms?\b": "package",
    r"\bhouse rules?\b": "policy rules",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bheld against\b|\bhold(s|ing)? .{0,40}against\b": "compared with",
    r"\btaken? back\b": "rolled back",
    r"\bput(s|ting)? forward\b": "submit",
    r"\bturn(s|ed)? down\b": "reject",
    r"\bwell again\b": "recovered",
    r"\bby the code of now\b": "with the current code",
    r"\breigns?\b": "period as champion",
    r"\bnurser(y|ies)\b": "preload",
    r"(?<![\".])\btold\b(?!\")": "message, reason, reported",
    r"\btellings?\b": "describe, emit, logging",
    r"\bhalfway\b": "partial_commits, pending_moves",
    r"\bdesk\b": "release context",
    r"\bjudg(e|ed|es|ing|ements?)\b": "evaluate (a model), validate (data)",
}


def main() -> int:
    """Print what is found; how many lines."""
    words = ["git", "-C", str(ROOT), "ls-files", "--", *FOLDERS]
    files = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    found = 0
    for name in files:
        try:
            lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # a picture
        for number, line in enumerate(lines, start=1):
            for word, instead in WORDS.items():
                match = re.search(word, line, re.IGNORECASE)
                if match:
                    found += 1
                    sys.stdout.write(f"{name}:{number}: {match[0]!r}; use: {instead}\n")
    return found


if __name__ == "__main__":
    sys.exit(min(main(), 1))
