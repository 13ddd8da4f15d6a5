#!/usr/bin/env python3
"""Makes the tables of docs/compatibility.md from what the tests have run.

    protocol-tests/compatibility/table.py RECORDS            write the tables
    protocol-tests/compatibility/table.py --check RECORDS    write nothing; fail if the page says anything else than
                                                             what ran, or a record names what subjects.json does not know

RECORDS is the directory in which the suites note, one JSON object a line, which client in which version has used which
feature; `protocol-tests/run` has them do so. subjects.json lists the clients and the features in the order of the
tables, and says what a client does not have. Nothing else is written by hand: a cell is filled because a test ran.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUBJECTS = Path(__file__).with_name("subjects.json")
PAGE = ROOT / "docs/compatibility.md"
BEGIN = "<!-- tables: written by protocol-tests/compatibility/table.py from what the tests ran; do not edit -->\n"
END = "<!-- end of the tables -->\n"

# What stands in a cell.
REAL, WIRE, ABSENT, UNSHOWN = "yes", "wire", "–", "not tested"


def main(arguments):
    check = arguments[:1] == ["--check"]
    if len(arguments) != 1 + check or arguments[-1].startswith("-"):
        print(__doc__)
        return 2
    complaints = []
    subjects = json.loads(SUBJECTS.read_text("utf-8"))
    records = read_records(Path(arguments[-1]), complaints)
    columns = columns_of(subjects, records, complaints)
    page = PAGE.read_text("utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[-1]
    made = before + BEGIN + render(subjects, columns) + END + after
    if not check:
        PAGE.write_text(made, "utf-8")
    elif made != page:
        complaints.append(f"{PAGE.relative_to(ROOT)} says something else than what the tests ran:")
        complaints += differences(page, made)
        complaints.append(f"where the tests are right, write it anew: {Path(__file__).relative_to(ROOT)} {arguments[-1]}")
    for complaint in complaints:
        print(f"compatibility: {complaint}", file=sys.stderr)
    shown = sum(len(column["shown"]) for column in columns)
    print(f"compatibility: {shown} features of {len(columns)} releases shown; {len(complaints) or 'no'} complaints")
    return 1 if complaints else 0


def read_records(directory, complaints):
    """The set of (client, version, feature) that was noted."""
    files = sorted(directory.glob("*.jsonl"))
    if not files:
        complaints.append(f"there are no records in {directory}: run the suites by protocol-tests/run")
    records = set()
    for file in files:
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            try:
                record = json.loads(line)
                records.add((record["client"], record["version"], record["feature"]))
            except (ValueError, KeyError, TypeError) as error:
                complaints.append(f"{file}:{number}: no record: {error!r} in {line!r}")
    return records


def columns_of(subjects, records, complaints):
    """A column for each release of which there is a record, in the order of subjects.json and of the versions."""
    columns, known = [], set()
    for table in subjects["tables"]:
        features = table["features"]
        for client in table["clients"]:
            known.add(client["name"])
            versions = sorted({version for name, version, _ in records if name == client["name"]}, key=by_number)
            if not versions:
                complaints.append(f"no test has shown anything of {client['name']}")
            for version in versions:
                shown = {feature for name, at, feature in records if (name, at) == (client["name"], version)}
                absent = set(client.get("lacks", []))
                for name, since in client.get("since", {}).items():
                    if by_number(version) < by_number(since):
                        absent.add(name)
                for feature in sorted((shown | absent) - set(features)):
                    complaints.append(f"{client['name']} {version}: {feature!r} is no feature of its table")
                for feature in sorted(shown & absent):
                    complaints.append(f"{client['name']} {version} has shown {feature!r}, which subjects.json says it lacks")
                columns.append({"table": table["title"], "client": client, "version": version, "shown": shown, "absent": absent})
    for name in sorted({name for name, _, _ in records} - known):
        complaints.append(f"there is a record of {name!r}, which subjects.json does not know")
    return columns


def by_number(version):
    return [int(part) for part in re.findall(r"\d+", version)]


def render(subjects, columns):
    lines = []
    for table in subjects["tables"]:
        own = [column for column in columns if column["table"] == table["title"]]
        lines += ["", f"### {table['title']}", "", table["about"], ""]
        heads = [f"{column['client'].get('title', column['client']['name'])} {column['version']}" for column in own]
        lines.append(f"| | {' | '.join(heads)} |")
        lines.append(f"|---|{'|'.join(':-:' for _ in own)}|")
        for feature, meaning in table["features"].items():
            lines.append(f"| **{feature}**: {meaning} | {' | '.join(cell(column, feature) for column in own)} |")
    return "\n".join(lines)[1:] + "\n\n"


def cell(column, feature):
    if feature in column["shown"]:
        return WIRE if column["client"].get("wire") else REAL
    return ABSENT if feature in column["absent"] else UNSHOWN


def differences(page, made):
    """The lines of the tables that are on one side only."""
    old, new = page.splitlines(), made.splitlines()
    return [f"  - {line}" for line in old if line not in new] + [f"  + {line}" for line in new if line not in old]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
