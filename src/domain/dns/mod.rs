//! The Domain Name System without its sockets. Owns names, zones and the answers that follow from them;
//! refuses to know where a question came from or when.

/// Domain names in wire form, their text form, and reverse names of addresses.
pub mod name;
/// Which name a client gets: sanitising, refusals, option 81, the order of candidates.
pub mod naming;
