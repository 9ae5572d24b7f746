#!/bin/sh
# From a fresh clone to routes in a router: makes a Python environment, installs this checkout there, runs the demo.
#
#   deploy/quickstart.sh            run it again at any time; what is there already is kept
#   VENV=/opt/dnstap-bgp deploy/quickstart.sh       another place than .venv in the checkout
#   PYTHON=python3.13 deploy/quickstart.sh          another Python than the first one found
#
# Needs Linux, Python 3.11 or later, and a way to the Python packages: proxies and pip's own configuration are heeded.
# No root is needed; nothing outside the environment is changed, unless you are root on Debian or Ubuntu and the package
# python3-venv is missing.

set -u
cd "$(dirname "$0")/.." || exit 1
VENV=${VENV:-.venv}

say() { printf '== %s\n' "$*"; }
fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

find_python() {
    for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3}; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

has() { "$PYTHON" -c "import $1" 2>/dev/null; }

# The environment's own pip, or that of the Python outside.
pip() {
    if has ensurepip; then
        "$VENV/bin/python" -m pip "$@" --disable-pip-version-check
    else
        "$PYTHON" -m pip --python "$VENV/bin/python" "$@" --disable-pip-version-check
    fi
}

# Debian ships Python without what makes an environment.
install_venv_package() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    say "installing the Debian package python3-venv"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3-venv >/dev/null
    has ensurepip
}

make_venv() {
    if pip --version >/dev/null 2>&1; then
        "$VENV/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' && return
    fi
    if [ ! -e "$VENV/pyvenv.cfg" ] && [ -n "$(ls -A "$VENV" 2>/dev/null)" ]; then
        fail "$VENV is there already and is no Python environment; name another place with VENV=/path $0"
    fi
    say "making a Python environment in $VENV"
    if has ensurepip; then
        "$PYTHON" -m venv --clear "$VENV"
    elif has venv && has pip; then
        "$PYTHON" -m venv --clear --without-pip "$VENV"
    elif install_venv_package; then
        "$PYTHON" -m venv --clear "$VENV"
    else
        fail "This Python can't make an environment. Install what is missing, and run this again:" \
            "  Debian, Ubuntu:  apt-get install python3-venv" \
            "  Alpine:          apk add python3 py3-pip" \
            "  Fedora:          dnf install python3 python3-pip"
    fi
}

PYTHON=$(find_python) || fail "Python 3.11 or later is needed; name one with PYTHON=/path/to/python3 $0"
make_venv || fail "The environment could not be made in $VENV; name another place with VENV=/path $0"

# The packages that ours are made of, each file with its hash; of what builds them only what our own needs.
install() {
    awk '/^[a-z]/ { keep = /^setuptools==/ } keep' deploy/requirements-build.lock >"$VENV/setuptools.lock" &&
        pip install --quiet --require-hashes --no-deps --requirement deploy/requirements.lock \
            --requirement "$VENV/setuptools.lock" &&
        pip install --quiet --no-deps --no-build-isolation --editable .
}

say "installing dnstap-bgp and what it needs into $VENV"
install ||
    fail "pip could not install it; its words are above." \
        "Without a way to the package index: set HTTPS_PROXY, or pip's index-url (pip config, PIP_INDEX_URL)." \
        "Where a package has to be built: a C++ compiler and Python's headers (Debian: build-essential python3-dev)."

say "running the demo"
"$VENV/bin/dnstap-bgp" demo || exit 1
case $VENV in /*) ;; *) VENV=$PWD/$VENV ;; esac
say "next: $VENV/bin/dnstap-bgp --help"
