//! DH-510: arbitrary conversations through the decisions of both families, with commits that fail, restarts,
//! changed configurations and time that passes. Whatever is asked: an address and a prefix have one owner, nothing
//! is given that the configuration does not give, what was promised is never taken back, and a restart finds what
//! was committed. Steps of the wall clock are not among the things that happen here.

#[path = "../lab/dhcp.rs"]
mod dhcp;
mod four;
mod model;
mod six;
