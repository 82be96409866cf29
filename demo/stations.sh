# shellcheck shell=bash
# The stations of the demo: DHCP clients, and what a phone or a person does next. Sourced, not run.
# Each boot leaves what the client was told: ip, router, dns, domain, opt43, opt66, opt252.

ip='' dns='' opt43='' opt66='' opt252='' url=''
declare -A client=() # namespace -> pid of its DHCP client
export LEASE=''

aastra_ua='Aastra6731i MAC:00-08-5D-11-22-33 V:3.2.2.1136-SIP'
yealink_ua='Yealink SIP-T46S 66.85.0.5 80:5e:c0:aa:bb:cc'

# await SECONDS COMMAND...: polls until COMMAND succeeds.
await() {
  local end=$((SECONDS + $1 + 1))
  shift
  until "$@"; do
    ((SECONDS < end)) || { echo "not in time: $*"; return 1; }
    sleep 0.02
  done
}

# busybox udhcpc: releases its lease when it is powered off (-R).
boot_udhcpc() {
  local ns=$1
  shift
  LEASE=$dir/lease.$ns
  rm -f "$LEASE"
  lan_start "$ns" "$dir/$ns.log" busybox udhcpc -f -R -i eth0 -t 5 -T 1 -s "$PWD/demo/lease.sh" -O 43 -O 66 "$@"
  client[$ns]=$pid
  told "$ns"
}

# ISC dhclient, with more lines for its configuration.
boot_dhclient() {
  local ns=$1
  LEASE=$dir/lease.$ns
  rm -f "$LEASE"
  printf '%s\n' 'option wpad code 252 = array of unsigned integer 8;' 'timeout 10;' "$2" \
    'request subnet-mask, routers, domain-name, domain-name-servers, tftp-server-name, wpad;' > "$dir/$ns.conf"
  : > "$dir/$ns.leases" # it insists that the file be there
  lan_start "$ns" "$dir/$ns.log" dhclient -4 -d -cf "$dir/$ns.conf" -sf "$PWD/demo/lease.sh" -e "LEASE=$LEASE" \
    -lf "$dir/$ns.leases" -pf "$dir/$ns.pid" eth0
  client[$ns]=$pid
  told "$ns"
}

told() {
  if ! await 10 test -s "$LEASE"; then tail -n 5 "$dir/$1.log"; return 1; fi
  . "$LEASE"
  said=$ip
}

power_off() {
  lan_stop "${client[$1]}"
  lan_in "$1" ip addr flush dev eth0
}

# Where the phone was told to fetch from: the vendor's option 43 (suboption 2), else option 66.
told_url() {
  local rest=$opt43 code len
  url=$opt66
  while ((${#rest} >= 4)); do
    code=$((16#${rest:0:2})) len=$((16#${rest:2:2}))
    if ((code == 2)); then url=$(printf '%b' "$(sed 's/../\\x&/g' <<< "${rest:4:len*2}")"); fi
    rest=${rest:4+len*2}
  done
  said=$url
  [[ $url == http://* ]] || { echo "option 43: $opt43, option 66: $opt66"; return 1; }
}

# fetch_tftp STATION FILE TEXT: the file must hold TEXT.
fetch_tftp() {
  lan_in "$1" curl -sS --max-time 10 -o "$dir/file" "tftp://10.77.0.1/$2" || return 1
  got "$3"
}

fetch_http() {
  lan_in "$1" curl -sS --fail --max-time 10 -o "$dir/file" -A "$3" "$2" || return 1
  got "$4"
}

got() {
  said="$(stat -c %s "$dir/file") bytes"
  grep -q "$1" "$dir/file" || { echo "unexpected content:"; head -c 300 "$dir/file"; return 1; }
}

# Refused by an ERROR, "file not found" (curl: 68): not by silence.
denied_tftp() {
  local rc=0
  lan_in "$1" curl -sS --max-time 10 -o "$dir/file" "tftp://10.77.0.1/$2" || rc=$?
  is "$rc" 68 || return 1
  said=''
}

# resolves STATION QUESTION TYPE ANSWER: asks with dig. NXDOMAIN is an answer too.
resolves() {
  local words status
  read -ra words <<< "$2"
  [[ $2 == -x* ]] || words+=("$3")
  lan_in "$1" dig @10.77.0.1 +time=2 +tries=1 "${words[@]}" > "$dir/dig"
  cat "$dir/dig"
  status=$(sed -n 's/.*status: \([A-Z]*\),.*/\1/p' "$dir/dig")
  if [[ $4 == NXDOMAIN ]]; then said=$status; [[ $status == NXDOMAIN ]]; return; fi
  [[ -n $4 && $4 != . ]] || { echo "nothing is expected"; return 1; }
  said=$(awk -v type="$3" '!/^;/ && $4 == type { print $5; exit }' "$dir/dig")
  [[ $said == "$4" ]]
}
