//! Prefixes that come from elsewhere (DH-708): which one of an interface is followed, and which part of it a subnet
//! is. What gets the prefix from the provider is the system's own client; we see its addresses.

use ipnet::Ipv6Net;

/// RFC 9096 §4 (ND_PREFERRED_LIMIT, ND_VALID_LIMIT): seconds that a prefix which may change without a word is
/// promised for, at most.
pub const PREFERRED: u32 = 2_700;
pub const VALID: u32 = 5_400;

/// The prefix to follow of those that an interface has addresses of: the present one for as long as it is there,
/// else a global one before a unique local one, the shortest first. Those that are too long to be parted are not
/// looked at.
pub fn choose(all: impl Iterator<Item = Ipv6Net>, present: Option<Ipv6Net>, longest: u8) -> Option<Ipv6Net> {
    let fits = |net: &Ipv6Net| net.prefix_len() <= longest && !net.addr().is_unicast_link_local();
    let mut all: Vec<Ipv6Net> = all.filter(fits).map(|net| net.trunc()).collect();
    if let Some(present) = present.filter(|present| all.contains(present)) {
        return Some(present);
    }
    // RFC 4291 §2.4, RFC 4193 §3.1
    let local = |net: &Ipv6Net| net.addr().segments()[0] & 0xe000 != 0x2000;
    all.sort_by_key(|net| (local(net), net.prefix_len(), net.addr()));
    all.first().copied()
}

/// Part number `id` of that length; `None` if the prefix has not that many.
pub fn part(whole: Ipv6Net, id: u64, length: u8) -> Option<Ipv6Net> {
    let bits = u32::from(length.checked_sub(whole.prefix_len())?);
    if bits < 64 && id >> bits != 0 {
        return None;
    }
    let number = u128::from(id).checked_shl(128 - u32::from(length)).unwrap_or(0);
    Ipv6Net::new((u128::from(whole.network()) | number).into(), length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv6Net {
        text.parse().unwrap()
    }

    #[test]
    fn a_part_lies_in_the_whole_or_is_not_there() {
        assert_eq!(part(net("2001:db8:1:ff00::/56"), 2, 64), Some(net("2001:db8:1:ff02::/64")));
        assert_eq!(part(net("2001:db8:1:ff00::/56"), 255, 64), Some(net("2001:db8:1:ffff::/64")));
        assert_eq!(part(net("2001:db8:1:ff00::/56"), 256, 64), None);
        assert_eq!(part(net("2001:db8::/64"), 0, 64), Some(net("2001:db8::/64")));
        assert_eq!(part(net("2001:db8::/64"), 1, 64), None);
        assert_eq!(part(net("2001:db8::/64"), 0, 56), None);
        assert_eq!(part(net("::/0"), u64::MAX, 64), Some(net("ffff:ffff:ffff:ffff::/64")));
    }

    #[test]
    fn the_present_prefix_stays_and_a_global_one_goes_before_a_local_one() {
        let all = || ["fe80::1/64", "fd00:1::1/48", "2001:db8:2::1/64", "2001:db8:1::1/56", "2001:db8::9/128"].map(net);
        assert_eq!(choose(all().into_iter(), None, 64), Some(net("2001:db8:1::/56")));
        assert_eq!(choose(all().into_iter(), Some(net("2001:db8:2::/64")), 64), Some(net("2001:db8:2::/64")));
        assert_eq!(choose(all().into_iter(), Some(net("2001:db8:3::/64")), 64), Some(net("2001:db8:1::/56")));
        assert_eq!(choose(all().into_iter(), None, 48), Some(net("fd00:1::/48")));
        assert_eq!(choose([net("fe80::1/64")].into_iter(), None, 64), None);
    }
}
