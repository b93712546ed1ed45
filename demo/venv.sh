# Sourced by demo/run and tests/run: makes .venv in the root of the checkout and installs into it.
# shellcheck shell=bash

# A Python that is at least 3.11, as its path; a pyenv shim may be there and not run.
find_python() {
    local name
    for name in "${ATIHA_PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
        if [ -n "$name" ] && command -v "$name" >/dev/null &&
            "$name" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

# ensure_venv EXTRA: install the package with an extra, unless that was done for this pyproject.toml.
ensure_venv() {
    local extra=$1 python
    if ! .venv/bin/python -c pass 2>/dev/null || [ "$(cat .venv/atiha-root 2>/dev/null)" != "$PWD" ]; then
        python=$(find_python) || {
            echo "Python 3.11 or later with the module venv was not found: install it (Debian: apt-get install python3 python3-venv)." >&2
            return 1
        }
        echo "Making .venv" >&2
        "$python" -m venv --clear .venv || return 1
        printf '%s\n' "$PWD" >.venv/atiha-root
    fi
    # The extra "test" contains "demo".
    if ! cmp -s pyproject.toml ".venv/atiha-$extra.toml" && ! cmp -s pyproject.toml .venv/atiha-test.toml; then
        echo "Installing atiha-web[$extra], which takes a minute the first time" >&2
        # Compiling all of it takes a third of the time, and most is never imported.
        .venv/bin/python -m pip install -qq --disable-pip-version-check --no-compile --editable ".[$extra]" >&2 || return 1
        cp pyproject.toml ".venv/atiha-$extra.toml"
    fi
}

# locked COMMAND…: run one set-up at a time in this checkout, where the system has flock.
locked() {
    mkdir -p .cache
    if command -v flock >/dev/null; then
        exec 9>.cache/setup.lock
        flock 9
        "$@" 9>&-
        local status=$?
        exec 9>&-
        return $status
    fi
    "$@"
}

require_npm() {
    if ! command -v npm >/dev/null; then
        echo "npm was not found: install Node.js 20 or later, which brings npm (Debian: apt-get install npm)." >&2
        return 1
    fi
}
