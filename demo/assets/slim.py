"""Makes of our wheel the one that pages download: the same name and version, and less in it.

What a page cannot use is left out: the server, the test helpers, the backends of CPython, the
extension for JupyterLab and the README. Comments and docstrings are blanked, so that tracebacks
name the lines they always do; so are imports that only type checkers see, what functions say of
their types, and lines of JavaScript that are a comment. The files are stored uncompressed:
compressed together, as a server does when it sends them, they take a quarter less than each by
itself.
"""

import ast
import base64
import csv
import hashlib
import io
import re
import tokenize
import zipfile
from collections.abc import Iterator
from pathlib import Path

LEFT_OUT = (
    "atiha_web/server/",
    "atiha_web/testing/",
    "atiha_web/backends/file/",
    "atiha_web/backends/httpx.py",
    "atiha_web/backends/thread_runner.py",
    "atiha_web/js/labextension/",
)
# The same files give the same bytes, whenever they were built.
_TIME = (1980, 1, 1, 0, 0, 0)


def slim(wheel: Path, folder: Path) -> None:
    """Write the page's form of a wheel into a folder, under the same name."""
    with zipfile.ZipFile(wheel) as whole:
        kept = [
            name
            for name in whole.namelist()
            if not (name.startswith(LEFT_OUT) or ".data/" in name)
            and not name.endswith("entry_points.txt")
        ]
        files = {name: _blanked_by_kind(name, whole.read(name)) for name in kept}
    metadata = next(name for name in files if name.endswith(".dist-info/METADATA"))
    files[metadata] = _metadata(files[metadata])
    write(files, folder / wheel.name, zipfile.ZIP_STORED)


def without(wheel: Path, left_out: tuple[str, ...], folder: Path) -> None:
    """Write a wheel into a folder, under the same name, without the files below some folders."""
    with zipfile.ZipFile(wheel) as whole:
        kept = [name for name in whole.namelist() if not name.startswith(left_out)]
        files = {name: whole.read(name) for name in kept}
    write(files, folder / wheel.name, zipfile.ZIP_DEFLATED)


def write(files: dict[str, bytes], wheel: Path, compression: int) -> None:
    """Write a wheel with these files, and a record that names just them."""
    # The record's place is the last one, so that all it tells of is there.
    record = next(name for name in files if name.endswith(".dist-info/RECORD"))
    del files[record]
    files[record] = _record(files, record)
    with zipfile.ZipFile(wheel, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _TIME), content, compression)


def _metadata(whole: bytes) -> bytes:
    """What says how the package is called and what it needs, without extras and description."""
    headers, _, _ = whole.partition(b"\n\n")
    kept = [
        line
        for line in headers.splitlines()
        if b"extra ==" not in line and not line.startswith((b"Classifier:", b"Provides-Extra:"))
    ]
    return b"\n".join([*kept, b""])


def _blanked_by_kind(name: str, content: bytes) -> bytes:
    if name.endswith(".py"):
        return blanked(content)
    return blanked_script(content) if name.endswith(".js") else content


def blanked_script(source: bytes) -> bytes:
    """JavaScript without the lines that are a comment; none of its texts may go over lines."""
    return re.sub(rb"^[ \t]*//.*$", b"", source, flags=re.MULTILINE)


def blanked(source: bytes) -> bytes:
    """Python without comments, with an empty text for each docstring, on the same lines.

    Nor has it what is there ``if TYPE_CHECKING``, or the types of parameters and results.
    """
    lines = source.decode().split("\n")
    spans = [*_comments(source), *_unused(source)]
    for first, start, last, end, instead in sorted(spans, reverse=True):
        kept = lines[first][:start] + instead + lines[last][end:]
        lines[first : last + 1] = [kept.rstrip(), *[""] * (last - first)]
    return "\n".join(lines).encode()


_Span = tuple[int, int, int, int, str]
"""First line and column, last line and column, and what to put there."""


def _comments(source: bytes) -> Iterator[_Span]:
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type == tokenize.COMMENT:
            line = token.start[0] - 1
            # The last thing on its line; counted in characters.
            yield line, token.start[1], line, token.end[1], ""


def _unused(source: bytes) -> Iterator[_Span]:
    lines = source.split(b"\n")
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.arg(annotation=ast.expr() as kind):
                yield from _types(lines, b":", kind)
            case (
                ast.FunctionDef(returns=ast.expr() as kind)
                | ast.AsyncFunctionDef(returns=ast.expr() as kind)
            ):
                yield from _types(lines, b"->", kind)
            case ast.Expr(ast.Constant(str())):
                yield _span(lines, node, node, '""')
            case ast.If(ast.Name("TYPE_CHECKING"), [first, *_] as body, []):
                yield _span(lines, first, body[-1], "pass")


def _types(lines: list[bytes], mark: bytes, kind: ast.expr) -> Iterator[_Span]:
    """A type with the mark before it; one in parentheses stays."""
    line, last = kind.lineno - 1, (kind.end_lineno or kind.lineno) - 1
    before, found, between = lines[line][: kind.col_offset].rpartition(mark)
    if found and not between.strip():
        start = len(before.rstrip().decode())
        yield line, start, last, len(lines[last][: kind.end_col_offset].decode()), ""


def _span(lines: list[bytes], first: ast.stmt, last: ast.stmt, instead: str) -> _Span:
    # Statements that begin their line; columns are counted in bytes.
    row = (last.end_lineno or last.lineno) - 1
    end = len(lines[row][: last.end_col_offset].decode())
    return first.lineno - 1, first.col_offset, row, end, instead


def _record(files: dict[str, bytes], record: str) -> bytes:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
        lines.writerow([name, f"sha256={digest.decode()}", len(content)])
    lines.writerow([record, "", ""])
    return text.getvalue().encode()
