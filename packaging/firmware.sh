#!/usr/bin/env bash
# Puts qemu and the firmware that the boot tests start into target/tools/firmware, out of Debian's packages, without
# installing them: qemu of the release and qemu-utils of its backports exclude each other, and a machine may have
# either. All of their libraries come along, so that it is the same program everywhere.
#
#   packaging/firmware.sh          qemu with SeaBIOS and iPXE ROMs, what `make test` needs
#   packaging/firmware.sh --all    besides EDK2, iPXE for UEFI and a kernel, what `make soak` needs
#
# Prints the folder. Does nothing if it is complete; several at once wait for one another.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

die() { echo "firmware: $*" >&2; exit 1; }

want=(qemu-system-x86 seabios ipxe-qemu)
case ${1:-} in
  '') set=bios ;;
  --all) set=all; want+=(ipxe ovmf linux-image-cloud-amd64 busybox-static) ;;
  *) die "unknown argument $1 (--all, or none)" ;;
esac
top=$PWD/target/tools/firmware
mkdir -p "$top"
exec 9> "$top/lock"
flock -w 900 9 || die "another one has been busy for 15 minutes"
done=$top/$set.done
if [[ -e $done && $(< "$done") == "${want[*]}" ]]; then echo "$top/root"; exit 0; fi

for tool in apt-get dpkg-deb; do command -v $tool > /dev/null || die "$tool is missing: this is for Debian 12 or newer"; done
work=$top/work
rm -rf "$work"
mkdir -p "$work/archives/partial" "$top/root"
: > "$work/status" # as if nothing were installed: every library is fetched
fetch() {
  timeout 900 apt-get -qq -y -o Dir::State::status="$work/status" -o Dir::Cache::archives="$work/archives/" \
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root -o Debug::NoLocking=1 \
    -o Acquire::Retries=3 -o Acquire::http::Timeout=30 --no-install-recommends --download-only install "${want[@]}" \
    < /dev/null > "$work/log" 2>&1
}
if ! fetch; then
  # lists that are missing or out of date
  timeout 300 apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 update < /dev/null >> "$work/log" 2>&1 || :
  fetch || { tail -n 20 "$work/log" >&2; die "the packages cannot be had: ${want[*]}"; }
fi
for package in "$work"/archives/*.deb; do dpkg-deb -x "$package" "$top/root"; done
[[ -x $top/root/usr/bin/qemu-system-x86_64 ]] || die "the packages hold no qemu-system-x86_64"
rm -rf "$work"
echo "${want[*]}" > "$done"
echo "$top/root"
