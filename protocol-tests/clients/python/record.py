"""Tells the table of clients and features what a test has shown; see protocol-tests/compatibility/table.py.

Records are written only where PROTOCOL_TESTS_RECORDS names a directory, which protocol-tests/run does.
"""

import json
import os
from importlib.metadata import version
from pathlib import Path

LIBRARY = ("PyPI pusher", version("pusher"))
PYSHER = ("pysher", version("pysher"))


def shown(subject, *features):
    """Notes that `subject` has used these features against the broker: the last line of a test."""
    directory = os.environ.get("PROTOCOL_TESTS_RECORDS")
    if not directory:
        return
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    client, release = subject
    lines = [json.dumps({"client": client, "version": release, "feature": feature}) + "\n" for feature in features]
    with open(path / "python.jsonl", "a", encoding="utf-8") as file:
        file.write("".join(lines))
