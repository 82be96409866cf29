#!/usr/bin/env bash
# The package under a real systemd: install, start, restart, crash, configure, upgrade, remove, purge.
#
#   packaging/test.sh [FILE.deb]      without FILE: packaging/deb.sh --dev
#
# A Debian 12 in target/package/rootfs (made once, kept) is booted with systemd-nspawn in a network namespace of its own, on
# an overlay that is thrown away. Nothing is fetched inside. Needs root; touches nothing of the host.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C

die() { echo "package test: $*" >&2; exit 1; }
((EUID == 0)) || die "must run as root"
for tool in mmdebstrap systemd-nspawn nsenter ip lintian; do command -v "$tool" >/dev/null || die "$tool is missing: packaging/setup.sh test"; done

deb=${1:-}
[[ -n $deb ]] || deb=$(packaging/deb.sh --dev)
[[ -r $deb ]] || die "cannot read $deb"

dir=$PWD/target/package
root=$dir/rootfs
ns=lanlord-pkg-$$
log=$dir/console.log
mkdir -p "$dir"
if [[ ! -x $root/lib/systemd/systemd ]]; then
  rm -rf --one-file-system "$root" "$root.new"
  timeout -k 10 900 mmdebstrap --mode=root --variant=minbase --include=systemd,systemd-sysv,dbus,iproute2,procps,curl \
    --aptopt='APT::Install-Recommends "false"' --quiet bookworm "$root.new" < /dev/null >&2
  mv "$root.new" "$root"
fi

# Without systemd on the host, nspawn puts its groups where the caller sits: give the machine a group of its own, in every
# hierarchy that nspawn writes to, and take it away at the end.
cgroups() {
  awk -v ns="$ns" '$3 == "cgroup2" || ($3 == "cgroup" && $4 ~ /name=systemd/) { print $2 "/" ns }' /proc/mounts
}
machine='' leader=''
finish() {
  local d i
  if [[ -n $leader ]]; then kill -s RTMIN+4 "$leader" 2>/dev/null || true; fi # SIGRTMIN+4: power off
  if [[ -n $machine ]]; then
    for ((i = 0; i < 100; i++)); do kill -0 "$machine" 2>/dev/null || break; sleep 0.1; done
    kill -s KILL "$machine" 2>/dev/null || true
    wait "$machine" 2>/dev/null || true
  fi
  for d in $(cgroups); do
    for ((i = 0; i < 30; i++)); do
      [[ -d $d ]] || break
      find "$d" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
    done
  done
  ip netns del "$ns" 2>/dev/null || true
}
trap finish EXIT

ip netns add "$ns"
ip -n "$ns" link set lo up
ip -n "$ns" link add eth0 type veth peer name peer0
ip -n "$ns" link set eth0 up
ip -n "$ns" link set peer0 up
ip -n "$ns" addr add 10.99.0.1/24 dev eth0

# Not inside "ip netns exec": that mounts a new /sys, which hides the cgroups. Without --capability the unit's ambient
# capabilities would be lost without a word.
(
  keep=()
  if [[ ! -d /run/systemd/system ]]; then
    keep=(--keep-unit)
    for d in $(cgroups); do mkdir -p "$d"; echo "$BASHPID" > "$d/cgroup.procs"; done
  fi
  exec systemd-nspawn -q -D "$root" --boot --register=no "${keep[@]}" --volatile=overlay --console=pipe --machine="$ns" \
    --network-namespace-path="/run/netns/$ns" --capability=CAP_NET_ADMIN,CAP_NET_RAW --resolv-conf=off
) < /dev/null > "$log" 2>&1 &
machine=$!

inside() { timeout -k 5 120 nsenter -t "$leader" -a -r -w "$@"; }
booted() {
  leader=$(awk '{ print $1; exit }' "/proc/$machine/task/"*/children 2>/dev/null) || return 1
  [[ -n $leader ]] || return 1
  case $(inside systemctl is-system-running 2>/dev/null) in running | degraded) ;; *) return 1 ;; esac
}
# due SECONDS: what a requirement allows; ten times as much where the machine may be busy, unless STRICT=1.
due() { if [[ -n ${STRICT:-} ]]; then echo "$1"; else echo "$((10 * $1))"; fi; }
# within SECONDS COMMAND...: polls until COMMAND succeeds.
within() {
  local end=$((SECONDS + $1 + 1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.1
  done
}
within 300 booted || { tail -n 20 "$log" >&2; die "no boot within 300 s"; }

checks=0 failed=0
# check SENTENCE COMMAND...: one thing that must be true.
check() {
  local what=$1 out
  shift
  checks=$((checks + 1))
  if out=$("$@" 2>&1); then
    echo "ok    $what"
  else
    failed=$((failed + 1))
    echo "FAIL  $what"
    sed 's/^/      /' <<< "$out" | tail -n 15
  fi
}
sh_in() { inside bash -euo pipefail -c "$1" < /dev/null; }
unit_pid() { inside systemctl show -P MainPID lanlord.service; }
active() { [[ $(inside systemctl is-active lanlord.service) == active ]]; }
# shellcheck disable=SC2016
healthy() { sh_in '[[ $(curl -sS -m 30 -o /dev/null -w "%{http_code}" --unix-socket /run/lanlord/api.sock http://lanlord/healthz) == 200 ]]'; }
status_of() { inside awk -v k="$1:" '$1 == k { print $2 }' "/proc/$(unit_pid)/status"; }
is() { [[ $1 == "$2" ]] || { echo "expected $2, found $1"; return 1; }; }
listens() { sh_in "[[ -n \$(ss -Hln$1 'sport = :$2') ]]"; }
silent() { if listens "$1" "$2"; then echo "something listens on $1 port $2"; return 1; fi; }
restarted() { local new; new=$(unit_pid); [[ $new != 0 && $new != "$1" ]] && active && healthy; }

check "is clean to lintian" lintian --allow-root --fail-on error,warning "$deb"
# shellcheck disable=SC2016
sh_in 'find / -xdev -type f -o -xdev -type d | grep -vE "^/(proc|sys|run|dev|tmp|root|var/(log|lib/dpkg|lib/systemd|cache|tmp))" | sort > /root/before'
inside sh -c 'cat > /root/lanlord.deb' < "$deb"
install() { sh_in 'DEBIAN_FRONTEND=noninteractive dpkg -i /root/lanlord.deb'; }

check "installs without a question" install
check "is active within 10 s" within "$(due 10)" active
check "is enabled, and so is its socket" sh_in 'systemctl -q is-enabled lanlord.service && systemctl -q is-enabled lanlord.socket'
check "runs as its own user" is "$(status_of Uid)" "$(inside id -u _lanlord)"
check "holds two capabilities" is "$(status_of CapEff)" 0000000000002400
check "can gain no other capability" is "$(status_of CapBnd)" 0000000000002400
check "cannot gain privileges" is "$(status_of NoNewPrivs)" 1
check "is confined to its system calls" is "$(status_of Seccomp)" 2
check "is sandboxed: exposure at most 2.0" sh_in 'systemd-analyze security --threshold=20 lanlord.service | tail -n 1'
check "answers /healthz on its socket" healthy
check "has a socket for lanlord-admin only" sh_in '[[ $(stat -c "%U:%G %a" /run/lanlord/api.sock) == "_lanlord:lanlord-admin 660" ]]'
check "keeps its state to itself" sh_in '[[ $(stat -c "%U %a" /var/lib/lanlord) == "_lanlord 750" ]]'
check "has DHCP off until configured" silent u 67
check "ships a configuration that it accepts" sh_in 'lanlord check /etc/lanlord/lanlord.toml'

pid=$(unit_pid)
check "restarts" inside systemctl restart lanlord.service
check "answers after the restart" within "$(due 10)" restarted "$pid"
pid=$(unit_pid)
check "is killed" inside kill -9 "$pid"
check "comes back after kill -9" within "$(due 10)" restarted "$pid"

sh_in 'cat > /etc/lanlord/lanlord.toml <<END
[server]
domain = "home.arpa"
[[network]]
name = "office"
interface = "eth0"
[[network.subnet]]
prefix = "10.99.0.0/24"
pool = ["10.99.0.100-10.99.0.199"]
router = "10.99.0.1"
[dns]
[dhcp4]
enabled = true
[provisioning]
enabled = true
END'
pid=$(unit_pid)
check "accepts a network" sh_in 'lanlord check /etc/lanlord/lanlord.toml && systemctl restart lanlord.service'
check "answers with a network" within "$(due 10)" restarted "$pid"
check "serves DHCP, DNS and TFTP with its two capabilities" sh_in 'for i in $(seq 500); do
  if [[ -n $(ss -Hlun "sport = :67") && -n $(ss -Hlun "sport = :53") && -n $(ss -Hlun "sport = :69") ]]; then exit 0; fi; sleep 0.1; done; ss -lun; exit 1'

pid=$(unit_pid)
check "upgrades without a question" install
check "runs again after the upgrade" within "$(due 10)" restarted "$pid"
check "leaves an edited configuration alone" inside grep -q '10.99.0.0/24' /etc/lanlord/lanlord.toml

check "is removed" sh_in 'dpkg -r lanlord'
check "runs no more" sh_in '[[ $(systemctl is-active lanlord.service) != active && $(systemctl is-active lanlord.socket) != active && ! -e /usr/bin/lanlord ]]'
check "keeps state and configuration when removed" sh_in 'test -e /etc/lanlord/lanlord.toml && [[ -n $(ls /var/lib/lanlord) ]]'
check "is purged" sh_in 'dpkg -P lanlord'
check "leaves no file behind" sh_in 'find / -xdev -type f -o -xdev -type d | grep -vE "^/(proc|sys|run|dev|tmp|root|var/(log|lib/dpkg|lib/systemd|cache|tmp))" | sort > /root/after
  diff /root/before /root/after
  left=$(find / -xdev -name "*lanlord*" -not -path "/proc/*" -not -path "/root/*"; find /run -name "*lanlord*"); echo "$left"; [[ -z $left ]]'
check "leaves no user or group behind" sh_in '! getent passwd _lanlord && ! getent group _lanlord && ! getent group lanlord-admin'
check "leaves no failed unit behind" sh_in '[[ -z $(systemctl list-units --no-legend "*lanlord*") ]]'

if ((failed)); then sh_in 'journalctl -q --no-pager -n 60' | sed 's/^/journal: /' >&2 || true; fi
echo "package: $((checks - failed)) of $checks checks hold"
((failed == 0))
