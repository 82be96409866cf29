#!/usr/bin/env bash
# `make demo`: a private virtual LAN on this machine, three phones, a PC, and lanlord between them.
#
#   demo/demo.sh              tells the story, prints the tables, leaves the daemon up until Ctrl-C
#   ONCE=1 demo/demo.sh       ends after the tables, and prints them as JSON last; exit 0 only if every step came out right
#
# LANLORD (target/debug/lanlord) is the binary, PORT (8080) the port of the page on the host's loopback.
set -euo pipefail
cd "$(dirname "$0")/.."
. demo/lan.sh
. demo/story.sh
. demo/stations.sh
. demo/appliance.sh

bin=$(realpath "${LANLORD:-target/debug/lanlord}")
once=${ONCE:-}
port=${PORT:-8080}
domain=lan.example
dir=$(mktemp -d /tmp/lanlord-demo.XXXXXX)
socket=$dir/api.sock

finish() {
  lan_down
  rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

((EUID == 0)) || { echo "demo: must run as root: it makes network namespaces" >&2; exit 1; }

chapter "A LAN appears, and its lord"
lan_up "lanlord-demo-$$"
lan_port srv 02:77:00:00:00:01 10.77.0.1/24
lan_in srv ip addr add fd77::1/64 dev eth0 nodad
lan_port spa 00:11:22:33:44:77
lan_port aastra 00:08:5d:11:22:33
lan_port yealink 80:5e:c0:aa:bb:cc
lan_port pc 02:77:00:00:0a:11
cat > "$dir/lanlord.toml" <<END
[server]
domain = "$domain"

[[network]]
name = "office"
interface = "eth0"
[[network.subnet]]
prefix = "10.77.0.0/24"
pool = ["10.77.0.100-10.77.0.199"]
router = "10.77.0.1"
[[network.subnet]]
prefix = "fd77::/64"

[dhcp4]
enabled = true

[dns]
zones = "$PWD/zones"

[provisioning]
enabled = true
plugins = ["$PWD/config/plugins"]

# The module of this demo answers for names.
[claws]
enrich_dns = false
[[claws.credential]]
name = "Web Client"
submit = ["host:*"]
delegate = ["*"]
subscribe = ["*"]
[[claws.credential]]
name = "DNS Management Module"
subscribe = ["host:*"]
append = ["dns"]
remove = ["dns"]
[[claws.module]]
name = "DNS Management Module"
END
mkdir "$dir/state"
step "lanlord serve, from nothing to ready, on SQLite" start_daemon
((wrong == 0)) || exit 1

chapter "Monday: a brand new SPA3102 is plugged in. It speaks nothing but TFTP"
step "gets a lease by DHCP" boot_udhcpc spa -V 'LINKSYS SPA-3102' -x hostname:lobby
monday=$ip
step "is a known device before its first request" devices_are '00:11:22:33:44:77'
step "asks for spa3102.cfg, which names nobody" fetch_tftp spa spa3102.cfg flat-profile
step "asks for 001122334477.xml, its own" fetch_tftp spa 001122334477.xml flat-profile
step "and is still one device, at $monday" device_at 00:11:22:33:44:77 "$monday"

chapter "It is unplugged. Its lease ends; a brand new Aastra 6731i gets the address"
step "the SPA3102 goes" power_off spa
step "the Aastra gets $monday" boot_udhcpc aastra -V AastraIPPhone6731i -x hostname:reception -r "$monday"
step "which was the SPA3102's" is "$ip" "$monday"
step "is told where its files are (option 43)" told_url
step "asks for aastra.cfg over HTTP" fetch_http aastra "$url/aastra.cfg" "$aastra_ua" .
step "asks for its own file" fetch_http aastra "$url/00085D112233.cfg" "$aastra_ua" .
step "is refused the SPA3102's file, though it has its address" denied_tftp aastra 001122334477.xml

chapter "Thursday: the SPA3102 is back, on another address"
step "gets a lease" boot_udhcpc spa -V 'LINKSYS SPA-3102' -x hostname:lobby
thursday=$ip
step "and not $monday" is_not "$thursday" "$monday"
step "asks for spa3102.cfg: the request that once made a junk device" fetch_tftp spa spa3102.cfg flat-profile
step "was known from that first request on" device_at 00:11:22:33:44:77 "$thursday"
step "asks for its own file" fetch_tftp spa 001122334477.xml flat-profile
step "two phones, two devices, no junk" devices_are '00:08:5d:11:22:33 00:11:22:33:44:77'

chapter "A Yealink T46S arrives"
step "gets a lease, by ISC dhclient" boot_dhclient yealink 'send vendor-class-identifier "yealink"; send host-name "yealink-desk";'
yealink_ip=$ip
step "is told where its files are (option 66)" told_url
step "asks for y000000000066.cfg over HTTP" fetch_http yealink "$url/y000000000066.cfg" "$yealink_ua" .
step "asks for its own file" fetch_http yealink "$url/805ec0aabbcc.cfg" "$yealink_ua" .

chapter "Alice gets a PC: one message on the bus, and a module that has a say"
step "an external module, in Python, subscribes" start_module
step "the web client posts host:add-host and awaits the final event" add_host
step "the module named the PC" is "$pc_name" "alice-pc.$domain"
step "lanlord reserved an IPv4 address for it" has "$pc_ip" 10.77.0.
step "and an IPv6 address" has "$pc_ip6" fd77::
step "its name resolves before it was ever switched on" resolves spa "$pc_name" A "$pc_ip"
step "the PC boots" boot_dhclient pc 'send host-name "anything-else";'
step "and gets the address that the event promised" is "$ip" "$pc_ip"
step "option 252, \\n in the event, reaches it as one octet, 10" is "$opt252" 10

chapter "Names"
step "the SPA3102" resolves pc "lobby.$domain" A "$thursday"
step "the SPA3102, by address" resolves pc "-x $thursday" PTR "lobby.$domain."
step "the Aastra" resolves spa "reception.$domain" A "$monday"
step "the Yealink" resolves aastra "yealink-desk.$domain" A "$yealink_ip"
step "Alice's PC" resolves yealink "$pc_name" A "$pc_ip"
step "Alice's PC, IPv6" resolves yealink "$pc_name" AAAA "$pc_ip6"
step "Alice's PC, by address" resolves yealink "-x $pc_ip" PTR "$pc_name."
step "a name of the zone file" resolves pc "pbx1.$domain" A 192.0.2.10
step "a name that nobody has" resolves pc "nobody.$domain" A NXDOMAIN

chapter "What lanlord knows now"
step "counts phones and junk" phones_and_junk
tables
if ((wrong)); then echo; echo "$wrong of $steps steps went wrong"; fi

if [[ -n $once ]]; then
  echo
  cat "$dir/all.json"
  ((wrong == 0))
  exit
fi
serve_page
