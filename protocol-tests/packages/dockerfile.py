"""Reads a Dockerfile: its stages, and what each copies from the build's context."""

import fnmatch
import json
import re
import shlex
import shutil
from pathlib import Path


def instructions(text):
    """Pairs of an instruction and the rest of its line, comments left out and continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n", " ", "\n".join(lines))
    for line in filter(str.strip, whole.splitlines()):
        word, _, rest = line.strip().partition(" ")
        yield word.upper(), rest.strip()


def stages(text):
    """The instructions of each stage; the last one is the image."""
    found = []
    for word, rest in instructions(text):
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def environment(stage):
    """The variables that a stage sets."""
    words = [shlex.split(rest) for word, rest in stage if word == "ENV"]
    return dict(pair.split("=", 1) for pairs in words for pair in pairs)


def context_files(root):
    """The files that the builder is sent: those of `root` that .dockerignore does not leave out. Of its lines the last that
    fits a path or a directory above it counts."""
    rules = []
    for line in (root / ".dockerignore").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            rules.append((line.lstrip("!").strip("/"), line.startswith("!")))

    def kept(path):
        above = [path, *path.parents][:-1]
        verdict = True
        for pattern, keep in rules:
            if any(fnmatch.fnmatchcase(str(each), pattern) for each in above):
                verdict = keep
        return verdict

    # Directories that no rule can bring back are not walked through: `target` has hundreds of thousands of files.
    tops = {pattern.split("/")[0] for pattern, keep in rules if keep}
    for top in sorted(tops):
        base = root / top
        for file in [base] if base.is_file() else sorted(base.rglob("*")):
            path = file.relative_to(root)
            if file.is_file() and "node_modules" not in path.parts and kept(path):
                yield path


def copied(stage, root, into):
    """Does in the directory `into` what the stage's COPY instructions do in the stage's working directory. Each must find
    what it names."""
    context = list(context_files(root))
    for word, rest in stage:
        if word != "COPY" or rest.startswith("--from"):
            continue
        words = json.loads(rest) if rest.startswith("[") else shlex.split(rest)
        *sources, target = [word.lstrip("/") for word in words if not word.startswith("--")]
        for source in sources:
            files = [path for path in context if path == Path(source) or Path(source) in path.parents]
            assert files, f"COPY {source}: the context has no such file (.dockerignore leaves it out, or it is gone)"
            for path in files:
                within = path.relative_to(source) if path != Path(source) else Path(path.name)
                # A file becomes the target unless that is a directory; what is in a directory goes into the target.
                place = into / target if path == Path(source) and not target.endswith("/") and not (into / target).is_dir() else into / target / within
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / path, place)
