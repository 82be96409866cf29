//! IO shells: decode, call a service, encode. Strangers to one another (invariant I13).

/// The CLAWS bus over HTTP.
pub mod claws;
/// DHCPv4: sockets in front of leasing.
pub mod dhcp4;
/// DHCPv6: sockets in front of leasing, routes to delegated prefixes.
pub mod dhcp6;
/// Questions about names: UDP, TCP, the forwarder.
pub mod dns;
/// HTTP: REST, the status page, phone files.
pub mod http;
/// The mirror of the kernel's neighbour table.
pub mod neighbours;
/// Router advertisements.
pub mod radv;
/// TFTP: phone files.
pub mod tftp;
