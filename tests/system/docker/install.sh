#!/usr/bin/env bash
# A container engine for the tests of the images: Docker where its daemon answers, else podman and buildah from the
# distribution, where apt may install them. Ends with 1 and the reason where there is none to be had.
set -euo pipefail

docker info > /dev/null 2>&1 && exit 0
wanted=()
for program in podman buildah runc catatonit debootstrap; do
  PATH=$PATH:/usr/sbin command -v "$program" > /dev/null || wanted+=("$program")
done
if [ "$(id -u)" -ne 0 ]; then
  echo "test-images: no Docker daemon answers; podman with debootstrap needs root, and this is $(id -un)" >&2
  exit 1
fi
[ ${#wanted[@]} -eq 0 ] && exit 0
if ! command -v apt-get > /dev/null; then
  echo "test-images: no Docker daemon answers; ${wanted[*]} not found, and no apt-get to install it with" >&2
  exit 1
fi
echo "Installing ${wanted[*]} ..."
apt-get update -qq
# In runlevel 1 packages do not start what they install.
RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "${wanted[@]}" > /dev/null
