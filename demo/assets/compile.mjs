// node compile.mjs RUNTIME COMPILER WANTED: see bytecode.py.
import { readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { pathToFileURL } from "node:url";

const [runtime, compiler, wanted] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${runtime}/pyodide.mjs`));
const pyodide = await loadPyodide();
const compile = pyodide.runPython(`${readFileSync(compiler, "utf-8")}\ncompile_archive`);
for (const [sources, compiled, place] of JSON.parse(readFileSync(wanted, "utf-8"))) {
  const folders = ["/sources", "/compiled"];
  for (const [index, path] of [sources, compiled].entries()) {
    pyodide.FS.mkdirTree(folders[index]);
    pyodide.mountNodeFS(folders[index], dirname(path));
  }
  compile(`/sources/${basename(sources)}`, `/compiled/${basename(compiled)}`, place);
  for (const folder of folders) pyodide.FS.unmount(folder);
  console.log(basename(sources));
}
