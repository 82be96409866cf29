# shellcheck shell=bash
# lanlord in the demo: the daemon, its API and its bus. Sourced, not run.

final='' pc_name='' pc_ip='' pc_ip6='' opt252_hex='' yealink_ip=''
page=''

start_daemon() {
  lan_start srv "$dir/lanlord.log" "$bin" serve --config "$dir/lanlord.toml" --state "$dir/state" --socket "$socket"
  page=$pid
  await 20 ready_or_ended && kill -0 "$page" && return
  tail -n 20 "$dir/lanlord.log"
  return 1
}
ready_or_ended() {
  kill -0 "$page" 2>/dev/null || return 0
  [[ $(curl -s -o "$dir/readyz" -w '%{http_code}' --unix-socket "$socket" http://lanlord/readyz) == 200 ]]
}

api() { curl -sS --fail-with-body --max-time 20 --unix-socket "$socket" "http://lanlord$1"; }
# The objects of a list of the API.
list() { api "/api/v1/$1?limit=1000" | jq 'if type == "array" then . else .items end'; }

devices() { list devices | jq -r 'map(.mac) | sort | join(" ")'; }
devices_are() { is "$(devices)" "$1"; }
device_at() { is "$(list devices | jq -r --arg mac "$1" '.[] | select(.mac == $mac) | .ip')" "$2"; }

# The module of docs/examples, in Python, on a token of its own: it answers the wish for a name.
start_module() {
  local token
  token=$(new_token "DNS Management Module" '["bus:write"]') || return 1
  CLAWS_TOKEN=$token lan_start srv "$dir/module.log" python3 docs/examples/claws_module.py http://127.0.0.1:8080 "$dir/module.db" "$domain"
  client[module]=$pid
  await 10 subscribed || { cat "$dir/module.log"; return 1; }
}
subscribed() { [[ -s $dir/module.db ]] && python3 -c '
import sqlite3, sys
sys.exit(sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM mark").fetchone()[0] == 0)' "$dir/module.db"; }

new_token() {
  curl -sS --fail-with-body --max-time 10 --unix-socket "$socket" -H 'Content-Type: application/json' \
    -d "$(jq -n --arg name "$1" --argjson scopes "$2" '{name: $name, scopes: $scopes}')" http://lanlord/api/v1/tokens |
    jq -r '.token // .secret'
}

# What the web client sends: the seed's message with the PC's own MAC. Answered with the final event.
add_host() {
  local token
  token=$(new_token "Web Client" '["bus:write"]') || return 1
  cat > "$dir/add-host.xml" <<'END'
<claws:event txid="a11ce0-0000-0000-000000000001"
    xmlns:claws="urn:openclaws:ns:claws:1" xmlns:host="urn:openclaws:ns:host:1" xmlns:lan="urn:openclaws:ns:lan:1"
    xmlns:dns="urn:openclaws:ns:dns:1" xmlns:dhcp="urn:openclaws:ns:dhcp:1">
  <claws:source>Web Client</claws:source>
  <claws:identity>Alice</claws:identity>
  <host:add-host>
    <host:hostname>Alice-PC</host:hostname>
    <host:mac-addr name="ethernet">02:77:00:00:0a:11</host:mac-addr>
    <lan:vlan name="ethernet">office</lan:vlan>
    <dns:auto-assign-fqdn/>
    <dhcp:custom-option number="252">\n</dhcp:custom-option>
    <host:operating-system>Debian 12</host:operating-system>
    <host:asset-tag>000001</host:asset-tag>
  </host:add-host>
</claws:event>
END
  final=$(lan_in srv curl -sS --fail-with-body --max-time 20 -H "Authorization: Bearer $token" -H 'Prefer: wait=10' \
    -H 'Content-Type: application/xml' --data-binary "@$dir/add-host.xml" http://127.0.0.1:8080/claws/v1/messages) || { echo "$final"; return 1; }
  [[ $final == *'state="applying"'* || $final == *'state="completed"'* ]] || { echo "$final"; return 1; }
  pc_name=$(sed -n 's,.*<dns:fqdn[^>]*>\([^<]*\)</dns:fqdn>.*,\1,p' <<< "$final")
  mapfile -t addresses < <(grep -o '<lan:address[^>]*>[^<]*' <<< "$final" | sed 's/.*>//')
  pc_ip=$(printf '%s\n' "${addresses[@]}" | grep -v : | head -n 1) || true
  pc_ip6=$(printf '%s\n' "${addresses[@]}" | grep : | head -n 1) || true
  echo "$final"
}

# What the daemon keeps, as one object. A device is junk if it is none of the three phones.
collect() {
  list leases > "$dir/leases.json" || return 1
  list devices > "$dir/devices.json" || return 1
  list hosts > "$dir/hosts.json" || return 1
  list events > "$dir/events.json" || return 1
  jq -n --slurpfile l "$dir/leases.json" --slurpfile d "$dir/devices.json" --slurpfile h "$dir/hosts.json" \
    --slurpfile e "$dir/events.json" --argjson steps "$steps" --argjson wrong "$wrong" '
    ["00:11:22:33:44:77", "00:08:5d:11:22:33", "80:5e:c0:aa:bb:cc"] as $phones
    | ($d[0] | map(select(.mac as $m | $phones | index($m)))) as $known
    | {leases: $l[0], devices: $d[0], phones: ($known | length), junk: (($d[0] | length) - ($known | length)),
       names: ([$l[0][] | select(.fqdn) | {name: .fqdn, address: .ip}]
             + [$h[0][] | .fqdn as $n | .interfaces[]? | .addresses[]? | {name: $n, address: .}] | unique),
       events: $e[0], steps: $steps, wrong: $wrong}' > "$dir/all.json"
}

# rows TITLE HEADINGS FILTER: a table of what the filter yields, one array per row.
rows() {
  printf '\n%s%s%s\n' "$bold" "$1" "$plain"
  { echo "$2"; jq -r "$3 | map(. // \"-\" | tostring) | join(\"|\")" "$dir/all.json"; } | column -t -s '|' | sed 's/^/  /'
}

tables() {
  rows Leases 'ADDRESS|MAC|NAME|VENDOR CLASS|STATE' '.leases[] | [.ip, .mac, .fqdn, .vendor_class, .state]'
  rows "Devices: $(jq -r '"\(.phones) phones, \(.junk) junk"' "$dir/all.json")" 'MAC|VENDOR|MODEL|FIRMWARE|ADDRESS|PLUGIN' \
    '.devices[] | [.mac, .vendor, .model, .version, .ip, .plugin]'
  rows Names 'NAME|ADDRESS' '.names[] | [.name, .address]'
  rows Events 'SEQ|EVENT|' '.events[] | [.seq, .type, (.summary // .text)]'
}

phones_and_junk() {
  collect || return 1
  is "$(jq -r '"\(.phones) phones, \(.junk) junk"' "$dir/all.json")" '3 phones, 0 junk'
}

# Opens the page on the host's loopback: the daemon's own lies in its namespace.
serve_page() {
  local token
  token=$(new_token "Demo" '["*:read"]') || return 1
  socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" \
    "EXEC:nsenter --net=/run/netns/$lan_prefix-srv socat - TCP\:127.0.0.1\:8080" < /dev/null > "$dir/page.log" 2>&1 &
  lan_pids+=("$!")
  printf '\n%sThe page%s  http://127.0.0.1:%s/  with the token  %s\n' "$bold" "$plain" "$port" "$token"
  printf '%sThe API%s   curl --unix-socket %s http://lanlord/api/v1/leases\n' "$bold" "$plain" "$socket"
  printf 'Ctrl-C ends everything.\n'
  wait "$page"
}
