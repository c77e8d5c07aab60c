#!/bin/sh
# Make sure that the machine has what pip cannot bring: venv, and an OpenGL library to render with.
# With a second word, `browser`, also a Chromium, in which the tests look at `satgen view`.
# Installs through apt-get or dnf where that is possible without a question; otherwise says what to run.
set -eu
python="${1:-python3}"

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "satgen needs Python 3.10 or newer: $("$python" --version 2>&1) is $(command -v "$python")" >&2
    exit 1
}

has() { "$python" -c "import ctypes, sys; ctypes.CDLL(sys.argv[1])" "$1" 2>/dev/null; }
has_driver() {
    # A GPU's own EGL, or Mesa's software driver.
    has libEGL_nvidia.so.0 || ls /usr/lib/*/dri/swrast_dri.so /usr/lib*/dri/swrast_dri.so \
        /usr/lib/*/libgallium-*.so /usr/lib*/libgallium-*.so >/dev/null 2>&1
}

apt=""
dnf=""
"$python" -c 'import ensurepip, venv' 2>/dev/null || { apt="$apt python3-venv"; dnf="$dnf python3-pip"; }
has libEGL.so.1 && has_driver || {
    apt="$apt libegl1 libgl1-mesa-dri"
    dnf="$dnf mesa-libEGL mesa-dri-drivers"
}
has libGL.so.1 || { apt="$apt libgl1"; dnf="$dnf mesa-libGL"; }
has libOSMesa.so.8 || has libOSMesa.so.6 || { apt="$apt libosmesa6"; dnf="$dnf mesa-libOSMesa"; }
if [ "${2:-}" = browser ]; then
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
        command -v google-chrome >/dev/null || { apt="$apt chromium"; dnf="$dnf chromium"; }
fi
[ -n "$apt" ] || exit 0

sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo -n"
if command -v apt-get >/dev/null 2>&1; then
    command="apt-get install -y --no-install-recommends$apt"
    prepare="apt-get update -qq"
elif command -v dnf >/dev/null 2>&1; then
    command="dnf install -y$dnf"
    prepare="true"
else
    echo "please install EGL, Mesa's DRI drivers and OSMesa with your system's package manager" >&2
    exit 0
fi
if [ -z "$sudo" ] || sudo -n true 2>/dev/null; then
    echo "installing:$apt"
    { $sudo $prepare && DEBIAN_FRONTEND=noninteractive $sudo $command; } >/dev/null ||
        echo "could not install system packages; if rendering fails, run: $command" >&2
else
    echo "missing system packages; if rendering fails, run: sudo $command" >&2
fi
