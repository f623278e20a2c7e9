#!/bin/sh
# Make sure that the tests have a Chromium: one that is there, else Debian's, else Playwright's own.
set -e
[ -n "$TEST_BROWSER" ] && exit 0
for browser in chromium chromium-browser google-chrome; do
  # Ubuntu's chromium-browser is a snap launcher: only take a browser that answers
  command -v "$browser" >/dev/null 2>&1 && "$browser" --version >/dev/null 2>&1 && exit 0
done
echo "Installing a browser for the tests"
if [ -r /etc/os-release ]; then . /etc/os-release; fi
SUDO=
[ "$(id -u)" = 0 ] || SUDO="sudo -n"
if [ "$ID" = debian ] && $SUDO true 2>/dev/null; then
  $SUDO apt-get update -qq
  $SUDO env DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends chromium >/dev/null
  exit 0
fi
exec "$1" -m playwright install chromium
