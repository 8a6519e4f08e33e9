#!/usr/bin/env bash
# base.sh FOLDER: a root file system in FOLDER that stands in for the base image python:3.11-slim-bookworm where no
# registry of images is reached: Debian bookworm, its Python 3.11 and pip.
set -euo pipefail

folder=$1
PATH=$PATH:/usr/sbin debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python3-pip \
  bookworm "$folder" > "$folder.log" 2>&1 || { tail -20 "$folder.log" >&2; exit 1; }
ln -s /usr/bin/python3 "$folder/usr/local/bin/python"
rm -f "$folder"/usr/lib/python3*/EXTERNALLY-MANAGED
rm -rf "$folder"/var/cache/apt/archives/*.deb "$folder"/var/lib/apt/lists/*
