# shellcheck shell=bash
# A private LAN of network namespaces on this machine: one switch, one port per name. Sourced, not run.
#
#   lan_up PREFIX                 makes the switch; every namespace is called PREFIX-NAME
#   lan_port NAME MAC [ADDRESS]   a namespace with eth0 in the switch
#   lan_in NAME COMMAND...        runs COMMAND there
#   lan_start NAME LOG COMMAND... the same in the background; its pid is remembered and left in $pid
#   lan_down                      ends what lan_start started, by pid, and removes the namespaces
#
# Nothing of the host is touched: the switch lies in a namespace of its own, and no route leads out.

lan_prefix='' lan_names=() lan_pids=() pid=''

lan_up() {
  lan_prefix=$1
  ip netns add "$lan_prefix-sw"
  lan_names=(sw)
  # no learning delay, no multicast snooping without a querier
  ip -n "$lan_prefix-sw" link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
  ip -n "$lan_prefix-sw" link set br0 up
}

lan_port() {
  local ns=$lan_prefix-$1
  ip netns add "$ns"
  lan_names+=("$1")
  ip -n "$ns" link set lo up
  ip netns exec "$ns" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
  ip -n "$lan_prefix-sw" link add "p-$1" type veth peer name eth0 netns "$ns"
  ip -n "$lan_prefix-sw" link set "p-$1" master br0 up
  ip -n "$ns" link set eth0 address "$2" up
  if [[ -n ${3:-} ]]; then ip -n "$ns" addr add "$3" dev eth0; fi
}

lan_in() {
  local ns=$lan_prefix-$1
  shift
  ip netns exec "$ns" "$@"
}

lan_start() {
  local ns=$lan_prefix-$1 log=$2
  shift 2
  # setsid: a Ctrl-C of the person who watches must not reach it before the shell does
  setsid ip netns exec "$ns" "$@" < /dev/null > "$log" 2>&1 &
  pid=$!
  lan_pids+=("$pid")
}

# lan_stop PID: asks, waits up to 10 s, then insists.
lan_stop() {
  local i
  kill "$1" 2>/dev/null || return 0
  for ((i = 0; i < 100; i++)); do
    kill -0 "$1" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

lan_down() {
  local p n
  for p in "${lan_pids[@]}"; do lan_stop "$p"; done
  lan_pids=()
  for n in "${lan_names[@]}"; do ip netns del "$lan_prefix-$n" 2>/dev/null || true; done
  lan_names=()
}
