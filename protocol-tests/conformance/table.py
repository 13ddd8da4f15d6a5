#!/usr/bin/env python3
"""Joins the conformance checklist with the tests that prove it and writes docs/conformance.md.

    protocol-tests/conformance/table.py           write the table
    protocol-tests/conformance/table.py --check   write nothing; fail if the table is stale, if a core statement
                                                  has no test, or if a test names a statement that is none

A test names what it proves in a comment directly above it, `Proves: 36, 38-40.`, for Rust functions, `test('...')`
of node:test and pytest functions alike. It knows nothing of whether the tests pass: running them says that.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
CHECKLIST = Path(__file__).with_name("checklist.md")
TABLE = ROOT / "docs/conformance.md"

SCANNED = {"protocol-tests": (".rs", ".mjs", ".js", ".py"), "src": (".rs",)}
SKIPPED = {"node_modules", ".venv", "venv", "target", "__pycache__", "conformance"}

# The comment line, and the ones after it for as long as each ends in a comma.
MARKER = r"^[ \t]*(?://[/!]?|\#|\*)[ \t]*Proves:[ \t]*(?P<proves>[^\n]*(?:(?<=,)\n[ \t]*(?://[/!]?|\#|\*)[^\n]*)*)$"
# What declares a test, per language, and what takes it out of the run.
DECLARATIONS = {
    ".rs": r"^[ \t]*(?:pub(?:\([a-z]+\))?[ \t]+)?(?:async[ \t]+)?fn[ \t]+(?P<name>\w+)",
    ".py": r"^[ \t]*(?:async[ \t]+)?def[ \t]+(?P<name>\w+)",
    ".mjs": r"\b(?:test|it)(?P<variant>\.\w+)?\(\s*(?P<quote>['\"`])(?P<name>(?:\\.|(?!(?P=quote)).)*)(?P=quote)",
}
DECLARATIONS[".js"] = DECLARATIONS[".mjs"]
COMMENT = re.compile(r"^[ \t]*(?://[/!]?|\#(?!\[)|\*)[ \t]?")


class Statement(NamedTuple):
    number: str
    group: str
    text: str
    source: str


class Checklist(NamedTuple):
    groups: dict  # name -> (what it is about, why it waits)
    words: dict  # word -> what such a test shows
    sections: dict  # title -> [Statement]

    def statements(self):
        return {statement.number: statement for section in self.sections.values() for statement in section}


class Proof(NamedTuple):
    item: str  # a statement's number, or a word
    test: str  # file::name


def main(arguments):
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    complaints = []
    checklist = read_checklist(CHECKLIST.read_text("utf-8"), complaints)
    proofs = []
    for file in test_files():
        proofs += proofs_in(file, checklist, complaints)
    tests = defaultdict(list)
    for proof in proofs:
        if proof.test not in tests[proof.item]:
            tests[proof.item].append(proof.test)
    table = render(checklist, tests)

    if arguments == ["--check"]:
        complaints += unproved(checklist, tests)
        if not TABLE.exists() or TABLE.read_text("utf-8") != table:
            complaints.append(f"{TABLE.relative_to(ROOT)} is stale: run {Path(__file__).relative_to(ROOT)}")
    else:
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(table, "utf-8")
    for complaint in complaints:
        print(f"conformance: {complaint}", file=sys.stderr)
    print(closing_line(checklist, tests, complaints))
    return 1 if complaints else 0


def read_checklist(text, complaints):
    checklist = Checklist({}, {}, {})
    numbers = set()
    title = ""
    for line in text.splitlines():
        if line.startswith("## "):
            title = line[3:].strip()
        if not line.startswith("|") or re.match(r"^\|[\s:|-]*-[\s:|-]*$", line):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[0] in ("group", "word", "no"):
            continue
        if title == "Groups" and len(cells) == 3:
            checklist.groups[cells[0]] = (cells[1], cells[2])
        elif title == "Words instead of numbers" and len(cells) == 2:
            checklist.words[cells[0]] = cells[1]
        elif len(cells) == 4 and re.fullmatch(r"N?\d+[a-z]?", cells[0]):
            statement = Statement(*cells)
            if statement.number in numbers:
                complaints.append(f"the checklist has statement {statement.number} twice")
            if statement.group not in checklist.groups:
                complaints.append(f"statement {statement.number} belongs to {statement.group!r}, which is no group")
            numbers.add(statement.number)
            checklist.sections.setdefault(title, []).append(statement)
        else:
            complaints.append(f"the checklist has a row that says nothing: {line}")
    return checklist


def test_files():
    found = []
    for folder, endings in SCANNED.items():
        for file in (ROOT / folder).rglob("*"):
            inside = file.relative_to(ROOT).parts
            if file.suffix in endings and file.is_file() and not SKIPPED.intersection(inside):
                found.append(file)
    return sorted(found)


def proofs_in(file, checklist, complaints):
    """Every marker of `file`, given to the declaration that follows it."""
    text = file.read_text("utf-8")
    shown = file.relative_to(ROOT).as_posix()
    shown = shown.removeprefix("protocol-tests/")
    tokens = re.compile(f"{MARKER}|{DECLARATIONS[file.suffix]}", re.MULTILINE)
    proofs, pending = [], None
    for token in tokens.finditer(text):
        place = f"{file.relative_to(ROOT)}:{text.count(chr(10), 0, token.start()) + 1}"
        if token["proves"] is not None:
            if pending:
                complaints.append(f"{pending[1]}: no test follows this line")
            pending = (items(token["proves"], place, checklist, complaints), place, token.end())
        elif pending:
            between = text[pending[2] : token.start()]
            reason = not_a_test(file.suffix, token, between)
            if reason:
                complaints.append(f"{pending[1]}: {token['name']} {reason}, so it proves nothing")
            else:
                proofs += [Proof(item, f"{shown}::{token['name']}") for item in pending[0]]
            pending = None
    if pending:
        complaints.append(f"{pending[1]}: no test follows this line")
    return proofs


def not_a_test(suffix, token, between):
    """Why the declaration is not a test that runs, or None."""
    code = "\n".join(line for line in between.splitlines() if not COMMENT.match(line))
    if suffix == ".rs":
        if not re.search(r"#\[(?:\w+::)*test\b", code):
            return "has no test attribute"
        return "is ignored" if re.search(r"#\[(?:cfg_attr\([^]]*)?ignore\b", code) else None
    if suffix == ".py":
        if not token["name"].startswith("test_"):
            return "is no pytest function"
        return "is skipped" if re.search(r"mark\.(skip\b|xfail\b)", code) else None
    return f"is marked {token['variant'][1:]}" if token["variant"] else None


def items(listed, place, checklist, complaints):
    """The statements and words of one marker, its ranges spelled out."""
    text = " ".join(COMMENT.sub("", line).strip() for line in listed.splitlines()).strip().removesuffix(".")
    known = checklist.statements()
    found = []
    for item in (part.strip() for part in text.split(",")):
        span = re.fullmatch(r"(\d+)\s*[-\u2013]\s*(\d+)", item)
        numbers = [str(n) for n in range(int(span[1]), int(span[2]) + 1)] if span else [item]
        for number in numbers or [item]:
            if number in known or number in checklist.words:
                found.append(number)
            else:
                complaints.append(f"{place}: {number!r} is neither a statement of the checklist nor one of its words")
    return found


def unproved(checklist, tests):
    missing = [s for s in checklist.statements().values() if s.group == "core" and not tests.get(s.number)]
    return [f"core statement {s.number} has no test: {s.text}" for s in missing]


def closing_line(checklist, tests, complaints):
    statements = checklist.statements().values()
    core = [s for s in statements if s.group == "core"]
    count = lambda some: f"{sum(1 for s in some if tests.get(s.number))} of {len(some)}"
    verdict = f"{len(complaints)} complaints" if complaints else "no complaints"
    return f"conformance: {count(core)} core statements proved, {count(list(statements))} in all; {verdict}"


def render(checklist, tests):
    statements = list(checklist.statements().values())
    lines = [
        "# Conformance",
        "",
        "<!-- Written by protocol-tests/conformance/table.py from checklist.md and the tests. Do not edit. -->",
        "",
        "What the broker does on the wire, statement by statement, and the tests that prove it. A statement counts as",
        "proved when a test names it; `protocol-tests/run` runs every one of those tests and fails if one of them does,",
        "if this table is stale, or if a core statement has no test. Tests are named `file::test`; a file is found under",
        "`protocol-tests/`, or under `src/` where its name begins so. Where a statement comes from is said in",
        "[the checklist](../protocol-tests/conformance/checklist.md).",
        "",
        "## Summary",
        "",
        "| group | statements | proved | not yet |",
        "|---|---:|---:|---:|",
    ]
    for group, (about, _) in checklist.groups.items():
        lines.append(summary_row(about, [s for s in statements if s.group == group], tests))
    lines.append(summary_row("**All**", statements, tests))
    for title, section in checklist.sections.items():
        lines += ["", f"## {title}", "", "| no | statement | tests | state |", "|---|---|---|---|"]
        lines += [statement_row(s, checklist.groups[s.group], tests.get(s.number, [])) for s in section]
    lines += ["", "## Beyond the checklist", ""]
    lines += ["Tests that prove no numbered statement, by what they show.", "", "| | tests |", "|---|---|"]
    for word, shows in checklist.words.items():
        lines.append(f"| **{word}**: {shows} | {listed(tests.get(word, []))} |")
    return "\n".join(lines) + "\n"


def summary_row(title, statements, tests):
    proved = sum(1 for s in statements if tests.get(s.number))
    return f"| {title} | {len(statements)} | {proved} | {len(statements) - proved} |"


def statement_row(statement, group, proving):
    state = "proved" if proving else f"not yet: {group[1] or 'no test names it'}"
    return f"| {statement.number} | {statement.text} | {listed(proving)} | {state} |"


def listed(tests):
    return "<br>".join(f"`{test}`" for test in tests).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
