#!/bin/sh
# Make .venv (or $VENV) if it is not there, and install a hash-pinned requirements file into it:
# python.sh requirements/dev.txt
set -eu
cd "$(dirname "$0")/../.."
venv=${VENV:-.venv}

fail() { echo "make setup: $*" >&2; exit 1; }

if [ ! -x "$venv/bin/pip" ]; then
    for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
        python=
    done
    [ "$python" ] || fail "no Python 3.11 or newer was found: install one, or name it with PYTHON=…"
    [ "$(uname -sm)" = "Linux x86_64" ] || fail "the servers that are run here come for Linux on x86-64 only"
    echo "setup: $venv of $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv" >/dev/null || fail "$python has no venv module (Debian: the package python3-venv)"
fi

total=$(grep -c '^[a-z0-9].*==' "$1")
echo "setup: $1"
# A line for each package on a terminal in one place, elsewhere for each tenth.
[ -t 1 ] && step=1 end='\r' || step=10 end='\n'
{ "$venv/bin/pip" install --no-input --disable-pip-version-check --progress-bar off --require-hashes -r "$1" || echo FAILED; } |
    awk -v total="$total" -v step="$step" -v end="$end" '
        /^Collecting / && ++n % step == 0 { printf "  %d of %d: %-60s" end, n, total, $2; fflush() }
        /^Installing/ { printf "  %-75s\n", "unpacking them …"; fflush() }
        /^FAILED/ { exit 1 }
    ' || fail "pip could not install $1 (its reason is above)"
