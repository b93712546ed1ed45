"""Runs inside Pyodide: puts bytecode of that very Python in place of the sources in archives."""

import py_compile
import tempfile
import warnings
import zipfile
from pathlib import Path

# The same sources give the same bytes, whenever they were compiled.
_TIME = (1980, 1, 1, 0, 0, 0)


def compile_archive(sources: str, compiled: str, place: str) -> None:
    """Write an archive with `.pyc` for each `.py`, uncompressed.

    What is no Python of this version, such as a template, stays as it is.

    Args:
        sources: The path of the archive to read.
        compiled: The path of the one to write.
        place: The folder that tracebacks name: where the archive will be imported from.
    """
    warnings.simplefilter("ignore", SyntaxWarning)
    with zipfile.ZipFile(sources) as read, zipfile.ZipFile(compiled, "w") as written:
        for name in read.namelist():
            body = read.read(name)
            bytecode = _bytecode(body, f"{place}/{name}") if name.endswith(".py") else None
            if bytecode is None:
                written.writestr(zipfile.ZipInfo(name, _TIME), body)
            else:
                written.writestr(zipfile.ZipInfo(f"{name}c", _TIME), bytecode)


def _bytecode(source: bytes, path: str) -> bytes | None:
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    with tempfile.TemporaryDirectory() as folder:
        module, compiled = Path(folder) / "module.py", Path(folder) / "module.pyc"
        module.write_bytes(source)
        try:
            py_compile.compile(
                str(module), str(compiled), dfile=path, doraise=True, invalidation_mode=mode
            )
        except py_compile.PyCompileError:
            return None
        return compiled.read_bytes()
