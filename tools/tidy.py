#!/usr/bin/env python3
"""Checks what a machine can check of the house rules: layers, sizes, banned calls, atomics, headers. Exit 1 with one line per finding."""
import os, re, sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
MAY_INCLUDE = {  # docs/ARCHITECTURE.md has the same table with the reasons
    "base": [],
    "proto": ["base"],
    "io": ["base"],
    "store": ["base", "proto", "io"],
    "bus": ["base", "proto", "io"],
    "journal": ["base", "proto", "io", "store"],
    "auth": ["base", "proto", "io", "bus"],
    "stream": ["base", "proto", "io", "store", "bus", "journal"],
    "cluster": ["base", "proto", "io", "store", "bus", "journal", "auth", "stream"],
    "monitor": ["base", "proto", "io", "store", "bus", "journal", "auth", "stream", "cluster"],
    "front/client": ["base", "proto", "io", "bus", "auth", "store", "journal", "stream", "cluster", "monitor"],
    "front/http": ["base", "proto", "io", "bus", "auth", "store", "journal", "stream", "monitor"],
    "front/websocket": ["base", "proto", "io"],
    "server": ["base", "proto", "io", "store", "bus", "journal", "auth", "stream", "cluster", "monitor", "front/client", "front/http", "front/websocket"],
}
BANNED = r"\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|atof|alloca|gets|usleep|sleep|system|strdup)\s*\("
ATOMIC = r"\b(_Atomic|atomic_\w+|__atomic_\w+|pthread_\w+|volatile)\b"
ATOMIC_OK = ("src/io/", "src/base/shared.c", "src/base/log.c")
FILE_LINES, FUNCTION_LINES = 1000, 70  # tests may hold longer tables

findings = []


def report(path, line, text):
    findings.append(f"{path}:{line}: {text}")


def layer_of(path):
    part = path[len("src/"):].split("/")
    return "/".join(part[:2]) if part[0] == "front" else part[0]


def check_includes(path, lines):
    layer = layer_of(path)
    allowed = MAY_INCLUDE.get(layer)
    if allowed is None:
        return report(path, 1, f"folder {layer} is not in the table of layers")
    for number, line in enumerate(lines, 1):
        match = re.match(r'#include "([^"]+)/[^/"]+"', line)
        if match and match[1] != layer and match[1] not in allowed and not path.endswith("_test.c"):
            report(path, number, f"{layer} must not include {match[1]}")


def strip(text):
    """Comments and literals blanked, so that words in them do not count."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match[0])
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def check_functions(path, code):
    lines = code.split("\n")
    start = None
    for number, line in enumerate(lines, 1):
        if start is None and re.match(r"^[A-Za-z_].*[^;]\{$|^\{$", line) and not re.match(r"^(typedef|struct|enum|union|static const|const|extern)", line):
            start = number
        elif start is not None and line.startswith("}"):
            if number - start - 1 > (2 * FUNCTION_LINES if path.endswith("_test.c") else FUNCTION_LINES):
                report(path, start, f"function of {number - start - 1} lines (at most {FUNCTION_LINES})")
            start = None
        elif re.match(r"^\}", line):
            start = None


def check(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = file.read()
    lines, code = text.split("\n"), strip(text)
    if path.startswith("src/"):
        check_includes(path, lines)
    if len(lines) > FILE_LINES:
        report(path, 1, f"{len(lines)} lines (at most {FILE_LINES})")
    if path.endswith(".h"):
        if not text.lstrip().startswith("/*"):
            report(path, 1, "a header begins with a comment that says what the thing is")
        if "#pragma once" not in text:
            report(path, 1, "no #pragma once")
    if path.endswith(".c"):
        check_functions(path, code)
    for number, line in enumerate(code.split("\n"), 1):
        if re.search(BANNED, line) and not (path.endswith("_test.c") and "system(" in line):  # tests remove their folders
            report(path, number, "banned call: " + re.search(BANNED, line)[1])
        if path.startswith("src/") and not path.startswith(ATOMIC_OK) and not path.endswith("_test.c") and re.search(ATOMIC, line):
            report(path, number, "atomics and threads live in src/io: " + re.search(ATOMIC, line)[1])
    for number, line in enumerate(lines, 1):
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
            report(path, number, "unfinished work is not committed")
        if line.rstrip() != line:
            report(path, number, "blanks at the end")


def main():
    for top in ("src", "fuzz", "tests"):
        for folder, _, names in os.walk(os.path.join(ROOT, top)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    check(os.path.relpath(os.path.join(folder, name), ROOT))
    fuzzed = set(os.listdir(os.path.join(ROOT, "fuzz"))) if os.path.isdir(os.path.join(ROOT, "fuzz")) else set()
    for name in sorted(os.listdir(os.path.join(ROOT, "src", "proto"))):
        plain = name[:-2]
        is_part = any(f"{plain[:i]}_fuzz.c" in fuzzed for i, c in enumerate(plain) if c == "_")  # json_scan.h is fuzzed as json
        if name.endswith(".h") and not is_part and f"{plain}_fuzz.c" not in fuzzed and plain not in ("nkey",):
            report(f"src/proto/{name}", 1, f"a codec has a fuzz target: fuzz/{plain}_fuzz.c")
    print("\n".join(findings) if findings else "tidy: nothing found")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
