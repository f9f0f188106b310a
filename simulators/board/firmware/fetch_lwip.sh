#!/bin/sh
# Gets lwIP's source as Debian's source package into build/lwip, verified by apt. Changes nothing on this system; nothing of it is committed.
set -eu
cd "$(dirname "$0")"
[ -d build/lwip/src ] && exit 0
here="$PWD/build/apt"
mkdir -p "$here/lists/partial" "$here/parts" "$here/cache/archives/partial"
cat >"$here/parts/source.sources" <<SOURCES
Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
apt="-o Dir::Etc::sourcelist=$here/none -o Dir::Etc::sourceparts=$here/parts -o Dir::State::lists=$here/lists -o Dir::Cache=$here/cache -o APT::Sandbox::User=root"
: >"$here/none"
apt-get -qq $apt update
(cd "$here" && apt-get -qq $apt source --download-only lwip)
mkdir -p build/lwip
tar xf "$here"/lwip_*.orig.tar.xz -C build/lwip --strip-components=1
