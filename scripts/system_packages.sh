#!/usr/bin/env bash
# The system packages that tests start: PostgreSQL, a browser, strace, curl. Root on Debian installs the missing ones;
# elsewhere their names are printed, and tests skip without them. With CI=true a missing one is an error.
set -euo pipefail
missing() {
    compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null || echo postgresql
    [ -x /usr/bin/chromium ] || echo chromium
    /sbin/ldconfig -p | grep libatomic.so.1 > /dev/null || echo libatomic1 # of the driver of the browser
    command -v strace > /dev/null || echo strace
    command -v curl > /dev/null || echo curl
}
mapfile -t packages < <(missing)
((${#packages[@]})) || exit 0
if [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ]; then
    echo "Installing the system packages that tests start: ${packages[*]}"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "${packages[@]}" > /dev/null || true
    mapfile -t packages < <(missing)
    ((${#packages[@]})) || exit 0
    echo "Could not install: ${packages[*]}" >&2
fi
if [ "${CI:-}" = true ]; then
    echo "CI=true and missing: ${packages[*]}. Nothing may be skipped." >&2
    exit 1
fi
echo "Missing: ${packages[*]}; tests that start them are skipped. On Debian: apt-get install ${packages[*]}"
