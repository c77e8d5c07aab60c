#!/bin/sh
# Build the wheel, install it into a fresh environment, and render and verify from a folder elsewhere.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$BIN/python" -m pip wheel --quiet --disable-pip-version-check --no-deps -w "$work" "$here"
"$BIN/python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -c "$here/constraints.txt" "$work"/satgen-*.whl
mkdir -p "$work/elsewhere/matchers" "$work/elsewhere/satgen"
cd "$work/elsewhere"
# Files of the user's own with names of ours.
echo 'raise SystemExit("the wrong bench")' >bench.py
echo 'raise SystemExit("the wrong matchers")' >matchers/__init__.py
unset PYTHONPATH || true
"$work/venv/bin/satgen" doctor
"$work/venv/bin/satgen" bench --help >/dev/null
"$work/venv/bin/python" -m satgen weights >/dev/null
for target in aura worldview cartography; do
    "$work/venv/bin/satgen" render --target "$target" --size 128 --start 361 --stop 366
    "$work/venv/bin/satgen" verify "datasets/$target"
done
"$work/venv/bin/satgen" view datasets/aura --export page --quiet
test -s page/main.js && test -s page/index.html
echo "wheel: rendered and verified all three targets, and showed one in a page"
