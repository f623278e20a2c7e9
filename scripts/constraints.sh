#!/bin/sh
# Write constraints.txt from what is installed in the environment of the Python given (.venv's).
set -e
cd "$(dirname "$0")/.."
python="${1:-.venv/bin/python}"
frozen=$("$python" -m pip freeze --exclude-editable)
{
  sed -n '/^#/p' constraints.txt
  echo "$frozen" | sed 's/^torch==.*/torch==2.13.*/; s/+cpu$//' | LC_ALL=C sort -f
} > constraints.txt.part
mv constraints.txt.part constraints.txt
