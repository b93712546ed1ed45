"""The page: a streaming service in Python, on Pyodide's main thread."""
