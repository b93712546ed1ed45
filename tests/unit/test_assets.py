"""The folder that a browser gets: complete, consistent, and built without a network once cached."""

import ast
import base64
import csv
import hashlib
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from zipimport import zipimporter

import pytest

from demo.assets import AssetError, Site, build, build_lab, fetch, lock, pins
from demo.assets.compiler import compile_archive
from demo.assets.slim import blanked, blanked_script, without
from demo.server import COMPRESSED, SCRIPTS
from demo.static_files import Asset

PYTHON = "3.14.2"
MAX_SENT_BYTES = 80_000


def make_wheel(folder: Path, name: str, version: str = "1.0", needs: Iterable[str] = ()) -> Path:
    """Write a wheel with one module and the given requirements."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    metadata = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {n}" for n in needs)]
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{name}-{version}.dist-info/METADATA", "\n".join(metadata))
    return path


def sources_in(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as read:
        return [name for name in read.namelist() if name.endswith(".py")]


@pytest.fixture(scope="module")
def site() -> Site:
    return build()


def test_needs_are_those_of_emscripten_whatever_builds_the_site(tmp_path: Path) -> None:
    needs = ["here; sys_platform == 'emscripten'", "there; sys_platform != 'emscripten'"]
    wheels = [make_wheel(tmp_path, "app", needs=needs), make_wheel(tmp_path, "here")]
    assert lock.packages(wheels, PYTHON)["app"]["depends"] == ["here"]


def test_needs_are_those_of_pyodides_python(tmp_path: Path) -> None:
    needs = ["backport; python_version < '3.14'", "extra-only; extra == 'more'"]
    entries = lock.packages([make_wheel(tmp_path, "app", needs=needs)], PYTHON)
    assert entries["app"]["depends"] == []


def test_a_need_without_a_wheel_is_an_error(tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path, "app", needs=["missing"])]
    with pytest.raises(AssetError, match="app needs missing: pin it"):
        lock.packages(wheels, PYTHON)


def test_a_pin_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path, "app", needs=["lib>=2"]), make_wheel(tmp_path, "lib", "1.9")]
    with pytest.raises(AssetError, match=r"app needs lib>=2, but 1\.9 is pinned"):
        lock.packages(wheels, PYTHON)


def test_needs_of_needs_are_found_once(tmp_path: Path) -> None:
    wheels = [
        make_wheel(tmp_path, "app", needs=["left", "right"]),
        make_wheel(tmp_path, "left", needs=["shared"]),
        make_wheel(tmp_path, "right", needs=["shared"]),
        make_wheel(tmp_path, "shared"),
        make_wheel(tmp_path, "unrelated"),
    ]
    found = lock.with_needs("app", lock.packages(wheels, PYTHON))
    assert found == ["app", "left", "right", "shared"]


def test_a_folder_whose_filling_fails_is_not_there(tmp_path: Path) -> None:
    def fill() -> None:
        with fetch.new_folder(tmp_path / "new") as folder:
            (folder / "part").touch()
            raise OSError("disk is full")

    with pytest.raises(OSError, match="disk is full"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_a_second_build_runs_no_command(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = build_lab()
    monkeypatch.delattr(fetch, "run")
    assert (build(), build_lab()) == (site, lab)


def test_manifest_tells_size_and_hash_of_every_file(site: Site) -> None:
    shipped = {path for path in site.root.rglob("*") if path.is_file()}
    assert site.manifest["files"] == {
        path.relative_to(site.root).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": lock.sha256(path),
        }
        for path in shipped - {site.root / "manifest.json"}
    }


def test_boot_names_files_that_are_there(site: Site) -> None:
    assert set(site.manifest["boot"]) <= site.manifest["files"].keys()


def test_a_start_compiles_nothing_but_ours(site: Site) -> None:
    archives = [
        site.root / name for name in site.manifest["boot"] if name.endswith((".whl", "zip"))
    ]
    sources = {archive.name: sources_in(archive) for archive in archives}
    assert [name for name, found in sources.items() if found] == [site.wheel.name]
    assert len(sources) > 5


def test_bytecode_imports_as_its_source_would(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "sources.zip", "w") as archive:
        archive.writestr("compiled_module.py", "def where():\n    raise LookupError\n")
        archive.writestr("template.py", "class {{ name }}: ...")
        archive.writestr("data.txt", "as it is")
    compile_archive(str(tmp_path / "sources.zip"), str(tmp_path / "compiled.zip"), "/lib/here")
    code = zipimporter(str(tmp_path / "compiled.zip")).get_code("compiled_module")
    assert code.co_filename == "/lib/here/compiled_module.py"
    with zipfile.ZipFile(tmp_path / "compiled.zip") as archive:
        assert archive.namelist() == ["compiled_module.pyc", "template.py", "data.txt"]
        assert archive.read("template.py") == b"class {{ name }}: ..."
        assert archive.read("data.txt") == b"as it is"


def test_the_same_sources_compile_to_the_same_bytes(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "app")
    made = [tmp_path / name for name in ("first.whl", "second.whl")]
    for target in made:
        compile_archive(str(wheel), str(target), "/lib")
    assert made[0].read_bytes() == made[1].read_bytes()


def test_a_module_that_is_bytecode_is_still_known_by_its_name(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "app")
    (tmp_path / "compiled").mkdir()
    compiled = tmp_path / "compiled" / wheel.name
    compile_archive(str(wheel), str(compiled), "/lib")
    assert lock.packages([compiled], PYTHON)["app"]["imports"] == ["app"]


def test_lock_file_names_just_the_wheels_that_are_shipped(site: Site) -> None:
    packages = json.loads((site.pyodide / "pyodide-lock.json").read_text("utf-8"))["packages"]
    named = {entry["file_name"]: entry["sha256"] for entry in packages.values()}
    assert named == {path.name: lock.sha256(path) for path in site.pyodide.glob("*.whl")}


def test_every_file_that_package_json_vendors_is_served(site: Site) -> None:
    served = {path.name for path in (site.root / "vendor").iterdir()}
    assert served == {Path(path).name for path in pins.vendored()}


def test_a_page_downloads_at_most_80_kb_of_ours(site: Site) -> None:
    files = [site.wheel, SCRIPTS / "bridge.js"]
    assets = [Asset.of(file.name, file.read_bytes(), COMPRESSED) for file in files]
    assert sum(asset.sent for asset in assets) <= MAX_SENT_BYTES


def test_the_wheel_of_a_page_has_no_server_and_no_test_helpers(site: Site) -> None:
    with zipfile.ZipFile(site.wheel) as wheel:
        names = wheel.namelist()
    assert [name for name in names if name.startswith(("atiha_web/server", "atiha_web/test"))] == []


def test_the_wheel_of_a_page_is_named_as_the_whole_one(site: Site) -> None:
    assert site.wheel.name == build("test").wheel.name


@pytest.mark.parametrize("name", ["atiha_web", "pydantic_core", "typing_extensions"])
def test_record_of_a_wheel_tells_size_and_hash_of_every_file(site: Site, name: str) -> None:
    with zipfile.ZipFile(next(site.pyodide.glob(f"{name}-*.whl"))) as wheel:
        record = next(name for name in wheel.namelist() if name.endswith("/RECORD"))
        told = {name: rest for name, *rest in csv.reader(wheel.read(record).decode().splitlines())}
        assert told.pop(record) == ["", ""]
        shipped = {name: wheel.read(name) for name in wheel.namelist() if name != record}
    assert told == {
        name: [f"sha256={url_safe(hashlib.sha256(content).digest())}", f"{len(content)}"]
        for name, content in shipped.items()
    }


def url_safe(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_blanked_python_has_every_statement_on_its_line() -> None:
    source = Path(fetch.__file__).read_bytes()
    assert code_of(blanked(source)) == code_of(source)


def code_of(source: bytes) -> list[str]:
    """Each statement but docstrings, with its place and without types of functions."""
    nodes = list(ast.walk(ast.parse(source)))
    for node in nodes:
        match node:
            case ast.Expr(ast.Constant(str()) as docstring):
                docstring.value = ""
            case ast.arg():
                node.annotation = None
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                node.returns = None
    statements = [node for node in nodes if isinstance(node, ast.stmt)]
    return [ast.dump(statement) + f"{statement.lineno}" for statement in statements]


def test_blanked_python_keeps_marks_of_comments_and_accents_within_texts() -> None:
    source = 'a = "é # no comment"  # é\n\n\ndef f() -> str:\n    """É\n\n    é"""\n    return a\n'
    assert blanked(source.encode()).decode() == (
        'a = "é # no comment"\n\n\ndef f():\n    ""\n\n\n    return a\n'
    )


def test_blanked_python_has_no_types_of_parameters_and_results() -> None:
    source = (
        "async def f(é: dict[str, int], /, *a: int, b: str = 'é: int', **c: list[\n"
        "    int\n]) -> int:\n"
        "    d: int = 1\n    return lambda e: {e: d}\n\n\n"
        "class A:\n    b: int = 1\n\n    def c(self) -> 'A': ...\n"
    )
    assert blanked(source.encode()).decode() == (
        "async def f(é, /, *a, b = 'é: int', **c):\n\n\n"
        "    d: int = 1\n    return lambda e: {e: d}\n\n\n"
        "class A:\n    b: int = 1\n\n    def c(self): ...\n"
    )


def test_blanked_python_leaves_types_in_parentheses() -> None:
    source = "def f(a: (int)) -> (\n    int\n):\n    return a\n"
    assert blanked(source.encode()).decode() == source


def test_blanked_python_has_nothing_that_only_type_checkers_see() -> None:
    source = (
        "if TYPE_CHECKING:\n    from a import (  # why\n        B,\n    )\n"
        "\n    import é  # É\n\nb = 1\n"
        "if TYPE_CHECKING:\n    c = 1\nelse:\n    c = 2\n"
    )
    assert blanked(source.encode()).decode() == (
        "if TYPE_CHECKING:\n    pass\n\n\n\n\n\nb = 1\n"
        "if TYPE_CHECKING:\n    c = 1\nelse:\n    c = 2\n"
    )


def test_a_blanked_script_has_its_code_on_the_same_lines() -> None:
    source = b'// Says hello.\nlet a = "// no comment"; // kept\n  // indented\nlet b;\n'
    assert blanked_script(source) == b'\nlet a = "// no comment"; // kept\n\nlet b;\n'


@pytest.mark.parametrize("script", [*SCRIPTS.glob("*.js")], ids=lambda script: script.name)
def test_no_text_of_our_scripts_goes_over_lines(script: Path) -> None:
    odd = [line for line in script.read_text().splitlines() if line.count("`") % 2]
    assert odd == []


def test_a_wheel_without_some_folders_tells_of_what_is_left(tmp_path: Path) -> None:
    whole = make_wheel(tmp_path, "lib")
    with zipfile.ZipFile(whole, "a") as wheel:
        wheel.writestr("lib/stubs/other.pyi", "...")
        wheel.writestr("lib-1.0.dist-info/RECORD", "lib/stubs/other.pyi,,")
    (tmp_path / "less").mkdir()
    without(whole, ("lib/stubs/",), tmp_path / "less")
    with zipfile.ZipFile(tmp_path / "less" / whole.name) as wheel:
        recorded = [
            line.split(",")[0] for line in wheel.read("lib-1.0.dist-info/RECORD").decode().split()
        ]
        assert recorded == wheel.namelist()
        assert recorded == ["lib.py", "lib-1.0.dist-info/METADATA", "lib-1.0.dist-info/RECORD"]


@pytest.fixture(scope="module")
def lab() -> Path:
    return build_lab()


def test_all_that_a_kernel_starts_with_is_in_pyodides_lock_file(lab: Path, site: Site) -> None:
    settings = json.loads((lab / "jupyter-lite.json").read_text("utf-8"))["jupyter-config-data"]
    [kernel] = settings["litePluginSettings"].values()
    options = kernel["loadPyodideOptions"]
    locked = json.loads((site.root / options["lockFileURL"][1:]).read_text("utf-8"))["packages"]
    assert set(options["packages"]) < locked.keys()
    assert kernel["disablePyPIFallback"] is True


def test_a_notebook_gets_what_a_page_gets_and_ours_as_bytecode(site: Site) -> None:
    pages, notebooks = (
        json.loads((site.pyodide / f"{name}-lock.json").read_text("utf-8"))["packages"]
        for name in ("pyodide", "notebook")
    )
    ours = notebooks.pop("atiha-web")
    assert notebooks == {name: entry for name, entry in pages.items() if name != "atiha-web"}
    wheel = site.pyodide / ours["file_name"]
    assert lock.sha256(wheel) == ours["sha256"]
    assert sources_in(wheel) == []


def test_jupyterlite_brings_no_extension_but_the_kernel_and_ours(lab: Path) -> None:
    settings = json.loads((lab / "jupyter-lite.json").read_text("utf-8"))["jupyter-config-data"]
    named = {extension["name"] for extension in settings["federated_extensions"]}
    assert named == {"@jupyterlite/pyodide-kernel-extension", "atiha-web"}


def test_the_notebook_is_listed_and_there(lab: Path) -> None:
    listed = json.loads((lab / "api" / "contents" / "all.json").read_text("utf-8"))["content"]
    assert [entry["path"] for entry in listed] == ["atiha_web.ipynb"]
    assert (lab / "files" / "atiha_web.ipynb").is_file()
