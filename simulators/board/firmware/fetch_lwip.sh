#!/bin/sh
# Gets lwIP's source as Debian's source package into build/lwip, verified by apt. Changes nothing on this system; nothing of it is committed.
set -eu
cd "$(dirname "$0")"
[ -d build/lwip/src ] && exit 0
here="$PWD/build/apt"
rm -rf "$here/parts"
mkdir -p "$here/lists/partial" "$here/parts" "$here/cache/archives/partial"
# The mirrors that this machine uses already, asked for sources.
for file in /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] && sed 's/^Types:.*/Types: deb-src/' "$file" >"$here/parts/$(basename "$file")"
done
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -f "$file" ] && sed -n 's/^deb /deb-src /p' "$file" >"$here/parts/$(basename "$file" .list)-src.list"
done
apt="-o Dir::Etc::sourcelist=$here/none -o Dir::Etc::sourceparts=$here/parts -o Dir::State::lists=$here/lists -o Dir::Cache=$here/cache -o APT::Sandbox::User=root"
: >"$here/none"
apt-get -qq $apt update
(cd "$here" && apt-get -qq $apt source --download-only lwip)
mkdir -p build/lwip
tar xf "$here"/lwip_*.orig.tar.xz -C build/lwip --strip-components=1
