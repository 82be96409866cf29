#!/usr/bin/env bash
# Installs the Debian packages that the tests, the demo or the benches need. Needs root; a complete machine is left untouched.
#
#   packaging/setup.sh [test|demo|bench|fuzz|deb] ...      default: test
#   packaging/setup.sh --check [GROUP] ...            installs nothing, prints what is missing, exit 1 if anything is
#
# Nothing that comes along is started: policy-rc.d denies it during the run, and units that are new are disabled after it.
# Nothing is removed: a package that conflicts with one already here is reported, and the run fails.
set -euo pipefail

# A|B: either will do (they conflict, or one of them is part of many systems already); A is what gets installed.
BUILD=(gcc libc6-dev make git ca-certificates)
LAN=(iproute2 procps util-linux "busybox|busybox-static" udhcpc isc-dhcp-client dhcpcd-base isc-dhcp-relay
  tftp-hpa bind9-dnsutils curl iputils-ping python3 jq)
LAB=(systemd ndisc6 wide-dhcpv6-client strace nsd dnsmasq-base chromium chromium-driver fonts-dejavu-core)
# the peers that imports are compared with
PEERS=(kea-dhcp4-server kea-dhcp6-server isc-dhcp-server dnsmasq-base)
DEB=(dpkg-dev)
MACHINE=(mmdebstrap systemd-container lintian)
BENCH=(kea-dhcp4-server kea-admin dnsmasq-base nsd dnsperf)
PAGE=(socat bsdextrautils)

die() { echo "setup: $*" >&2; exit 1; }

check=0 want=()
[[ ${1:-} == --check ]] && { check=1; shift; }
(($#)) || set -- test
for group in "$@"; do
  case $group in
    test) want+=("${BUILD[@]}" "${LAN[@]}" "${PAGE[@]}" "${LAB[@]}" "${PEERS[@]}" "${DEB[@]}" "${MACHINE[@]}") ;;
    demo) want+=("${BUILD[@]}" "${LAN[@]}" "${PAGE[@]}") ;;
    bench) want+=("${BUILD[@]}" "${LAN[@]}" "${BENCH[@]}") ;;
    fuzz) want+=("${BUILD[@]}" g++) ;;
    deb) want+=("${BUILD[@]}" "${DEB[@]}") ;;
    *) die "unknown group $group (test, demo, bench, fuzz or deb)" ;;
  esac
done
command -v apt-get >/dev/null || die "apt-get is missing: this is for Debian 12 or newer"
command -v cargo >/dev/null || die "cargo is missing: install the Rust toolchain first (rustup, 1.94 or newer)"

installed() { [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null) == ii* ]]; }
# Prints the wanted packages that are absent, once each.
absent() {
  local p a found
  for p in "${want[@]}"; do
    found=0
    for a in ${p//|/ }; do if installed "$a"; then found=1; fi; done
    if ((!found)); then echo "${p%%|*}"; fi
  done | sort -u
}

mapfile -t missing < <(absent)
((${#missing[@]})) || exit 0
echo "setup: missing: ${missing[*]}"
((check)) && exit 1
((EUID == 0)) || die "run it as root, or install these packages yourself"

log=$(mktemp)
policy=/usr/sbin/policy-rc.d denied=0
units() { find /lib/systemd/system /etc/init.d -maxdepth 1 -type f 2>/dev/null | sed 's,.*/,,' | sort; }
finish() {
  rm -f "$log" "$log.units"
  if ((denied)); then rm -f "$policy"; fi
}
trap finish EXIT
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod +x "$policy"
  denied=1
fi
units > "$log.units"

export DEBIAN_FRONTEND=noninteractive
apt() {
  timeout 1500 apt-get -o Acquire::Retries=3 -o Acquire::http::Timeout=30 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
    -qq -y "$@" < /dev/null >> "$log" 2>&1
}
apt update || { tail -n 20 "$log" >&2; die "apt-get update failed"; }
# One package that cannot be had must not hide the others: fall back to one at a time, then say what is still missing.
if ! apt --no-install-recommends --no-remove install "${missing[@]}"; then
  for p in "${missing[@]}"; do apt --no-install-recommends --no-remove install "$p" || echo "setup: $p could not be installed" >&2; done
fi
if command -v systemctl >/dev/null; then
  units | comm -13 "$log.units" - | { grep -E '\.(service|socket|timer)$' || :; } | { grep -v '@\.' || :; } | while read -r u; do
    if [[ $(systemctl --root=/ is-enabled "$u" 2>/dev/null) == enabled ]]; then systemctl --root=/ disable "$u" >> "$log" 2>&1; fi
  done
fi
mapfile -t missing < <(absent)
if ((${#missing[@]})); then tail -n 30 "$log" >&2; die "still missing: ${missing[*]}"; fi
echo "setup: done"
