#!/bin/sh
# What a DHCP client of the demo does with its lease: sets the address, notes what it was told in $LEASE.
# Called by udhcpc (the event is $1, values in the environment) and by dhclient (the event is $reason, values as $new_...).
set -e
case ${1:-$reason} in
  deconfig | PREINIT)
    ip addr flush dev eth0
    exit 0
    ;;
  bound | renew)
    prefix=$ip/${mask:-24}
    ;;
  BOUND | RENEW | REBIND | REBOOT)
    ip=$new_ip_address router=$new_routers dns=$new_domain_name_servers domain=$new_domain_name hostname=$new_host_name
    tftp=$new_tftp_server_name
    opt252=$new_wpad # octets in decimal
    prefix=$ip/24
    ;;
  *) exit 0 ;;
esac
ip addr flush dev eth0
ip addr add "$prefix" dev eth0
{
  echo "ip='$ip'"
  echo "router='$router'"
  echo "dns='$dns'"
  echo "domain='$domain'"
  echo "hostname='$hostname'"
  echo "opt43='$opt43'"
  echo "opt66='$tftp'"
  echo "opt252='$opt252'"
} > "$LEASE.new"
# at once: the demo reads it as soon as it is there
mv "$LEASE.new" "$LEASE"
