#!/bin/sh
# Removes what is not in the repository: the environment, caches, and the state of `make up`.
set -eu
cd "$(dirname "$0")/.."

lock=.wapsi/lock
if [ -s "$lock" ] && kill -0 "$(cat "$lock")" 2>/dev/null; then
    echo "wapsi is running as pid $(cat "$lock"): stop it first (or remove $lock if that is something else)." >&2
    exit 1
fi

# Started by root below a folder that only root can enter, the databases lie there; see embedded/placement.py.
for file in .wapsi/postgres/number .bench/population/*/postgres/number; do
    number=$(cat "$file" 2>/dev/null || true)
    if [ -n "$number" ]; then
        rm -rf /var/lib/wapsi/*-"$number"
    fi
done

rm -rf .wapsi .venv .bench dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
find . -name __pycache__ -type d -prune -exec rm -rf {} +
