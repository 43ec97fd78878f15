"""What the documents name is there: links, files, functions, tests, make targets. A function that
is named right behind its file is in that file; one named as `call()`, or by a `snake_case` name alone,
is somewhere in the code, and not in a comment only. No walk-through is longer than WORDS_MAX. Every
header of the common library is in its README."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w.-][\w./-]*\.(?:c|h|py|sql|sh|js|css|html|md|json|yml|conf)")
CALL = re.compile(r"\b([a-z_]\w*)\(\)")
NAME = re.compile(r"[a-z]\w*_\w+")
LIBRARIES = ("lws_",)  # whose names a story may tell though no code of ours has them
COMMENT = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*", re.S)
TEST = re.compile(r"test_\w+")
IN_FILE = re.compile(r"`([\w./-]+\.[ch])`:? (`\w+`(?:, `\w+`)*)")
MAKE = re.compile(r"make ([a-z][a-z0-9-]+)(?: T=(\w+))?")
WORDS_MAX = 900
WALKS = [f"{s}/README.md" for s in ("scribe", "delivery-hub", "dicom-vault", "student-portal")]


def tracked():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                            text=True, stdout=subprocess.PIPE).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


def code_of(path):
    text = path.read_text(errors="replace")
    return COMMENT.sub(" ", text) if path.suffix in (".c", ".h", ".js", ".css") else text


def called(files):
    """Names that the code defines, declares or calls; a comment alone keeps none alive."""
    names = set()
    for path in files:
        if path.suffix in (".c", ".h", ".py", ".js"):
            names |= set(re.findall(r"\b([A-Za-z_]\w*)\s*\(", code_of(path)))
    return names


def words_of(files):
    return {w for p in files if p.suffix != ".md" for w in re.findall(r"\w+", code_of(p))}


def library_headers(files):
    found = set()
    for path in files:
        if path.suffix in (".c", ".h"):
            found |= set(re.findall(r"#include <([^>]+)>", path.read_text(errors="replace")))
    return {Path(name).name for name in found}


def targets():
    makefile = (ROOT / "Makefile").read_text()
    proofs = {"proof-" + p.name.partition("_")[0] for p in (ROOT / "tests/proofs").glob("*_*/")}
    return proofs | {t for line in re.findall(r"^([a-z][a-z0-9 %-]*):", makefile, re.M)
                     for t in line.split()}


def in_file(document, files, text):
    """Functions named behind a file of the document's folder, or of another, that are not in it."""
    for file, listed in IN_FILE.findall(text):
        paths = [p for p in files if str(p).endswith("/" + file)]
        beside = [p for p in paths if p.parent == document.parent] or paths
        words = words_of(beside)
        for name in re.findall(r"\w+", listed):
            if beside and name not in words:
                yield f"{name} in {file}"


def gone(text, names, words):
    """Names that nothing in the code bears any more."""
    yield from (f"function {name}()" for name in CALL.findall(text) if name not in names)
    yield from (f"name {code}" for code in CODE.findall(text)
                if NAME.fullmatch(code) and code not in words and not code.startswith(LIBRARIES))


def missing(document, files, names, words, makes):
    text = document.read_text()
    yield from in_file(document, files, text)
    yield from gone(text, names, words)
    bases = {path.name for path in files} | library_headers(files)
    stems = {path.stem for path in files}
    for link in LINK.findall(text):
        if "://" not in link and not (document.parent / link).exists():
            yield f"link to {link}"
    for code in CODE.findall(text):
        file = FILE.fullmatch(code)
        built = code.startswith("build/")
        if file and not built and not (document.parent / code).exists() and not (ROOT / code).exists() \
                and code not in bases and not any(str(p).endswith("/" + code) for p in files):
            yield f"file {code}"
        if TEST.fullmatch(code) and code not in names and code not in stems:
            yield f"test {code}"
        for target, test in MAKE.findall(code):
            if target not in makes:
                yield f"make target {target}"
            if test and test not in names and test not in stems:
                yield f"test {test}"


def main():
    files = tracked()
    names, words, makes, found = called(files), words_of(files), targets(), 0
    for document in (p for p in files if p.suffix == ".md"):
        for what in missing(document, files, names, words, makes):
            print(f"{document.relative_to(ROOT)}: no such {what}")
            found += 1
    common = (ROOT / "common/README.md").read_text()
    for header in (ROOT / "common").glob("*.h"):
        if header.name not in common:
            print(f"common/README.md: no word of {header.name}")
            found += 1
    for walk in WALKS:
        words = len((ROOT / walk).read_text().split())
        if words > WORDS_MAX:
            print(f"{walk}: {words} words, at most {WORDS_MAX}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
