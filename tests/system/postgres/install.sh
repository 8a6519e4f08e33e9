#!/usr/bin/env bash
# PostgreSQL and Redis for the tests of a team's installation, from the distribution, where they are absent and apt may
# install them. No service is started: the tests start their own. Where it can't be done the tests say so.
set -euo pipefail

wanted=()
compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null || command -v initdb > /dev/null || wanted+=(postgresql)
command -v redis-server > /dev/null || wanted+=(redis-server)
[ ${#wanted[@]} -eq 0 ] && exit 0

if ! command -v apt-get > /dev/null; then
  echo "test-postgres: ${wanted[*]} not found, and no apt-get to install it with" >&2
  exit 0
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  sudo -n true 2> /dev/null || { echo "test-postgres: ${wanted[*]} not found; installing it needs root" >&2; exit 0; }
  as_root=(sudo -n)
fi
echo "Installing ${wanted[*]} ..."
${as_root[@]+"${as_root[@]}"} apt-get update -qq
# In runlevel 1 packages do not start what they install.
${as_root[@]+"${as_root[@]}"} env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${wanted[@]}" > /dev/null
