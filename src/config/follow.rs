//! `prefix_from` (DH-708): a subnet that is part of whatever prefix an interface has. Owns how it is spelled, and
//! what stands for the prefix while a file is checked without interfaces.

use std::collections::BTreeMap;
use std::ops::Range;

use ipnet::Ipv6Net;

use super::raw::Section;
use crate::domain::follow;

/// What interfaces have, by their names: the prefixes that are followed.
pub type Prefixes = BTreeMap<String, Ipv6Net>;

/// An interface that a network follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follows {
    pub interface: String,
    /// The longest prefix that can be parted so.
    pub longest: u8,
    /// What the subnet is now; `None` while the interface has no prefix that it fits into.
    pub prefix: Option<Ipv6Net>,
}

/// A subnet's place in the prefix of an interface.
pub(super) struct Place {
    pub follows: Follows,
    /// The whole prefix, or an example while there is none.
    pub whole: Ipv6Net,
    /// The subnet in it.
    pub part: Ipv6Net,
    pub span: Range<usize>,
}

/// RFC 3849: a prefix that nobody has.
fn example() -> Ipv6Net {
    Ipv6Net::new_assert(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32)
}

/// Reads `prefix_from` with `prefix_id` and `prefix_length`.
pub(super) fn read(s: &Section<'_>) -> Option<Place> {
    for key in ["prefix_id", "prefix_length"].into_iter().filter(|key| s.has(key) && !s.has("prefix_from")) {
        s.doc.complain(&s.span, format!("`{key}` is for `prefix_from`"), None);
    }
    let interface = s.text("prefix_from")?;
    if s.has("prefix") {
        s.doc.complain(&interface.span, "`prefix` and `prefix_from` exclude each other", None);
    }
    let length = s.number("prefix_length", 33..=127).and_then(|n| u8::try_from(n).ok()).unwrap_or(64);
    let id = s.number("prefix_id", 0..=u64::from(u32::MAX)).unwrap_or(0);
    let Some(shown) = follow::part(example(), id, length) else {
        let message = format!("`prefix_id` {id} is too large for prefixes of length {length}");
        s.doc.complain(&interface.span, message, None);
        return None;
    };
    let whole = s.doc.prefixes.get(&interface.value).copied();
    let prefix = whole.and_then(|whole| follow::part(whole, id, length));
    let (whole, part) = prefix.zip(whole).map_or((example(), shown), |(part, whole)| (whole, part));
    let follows = Follows { interface: interface.value, longest: length, prefix };
    Some(Place { follows, whole, part, span: interface.span })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{parse, parse_at};

    const FILE: &str = r#"
[dhcp6]
enabled = true
[dns]
[[network]]
name = "lan"
interface = "eth0"
[network.ra]
enabled = true
[[network.subnet]]
prefix_from = "wan0"
prefix_id = 2
pool = ["::1000-::1fff", "::2:0/112"]
exclude = ["::1100"]
delegate = [{ prefix = "0:0:0:80::/57", length = 60 }, { prefix = "fd00:1::/48", length = 56 }]
"#;

    fn at(prefix: Option<&str>) -> crate::config::Config {
        let prefixes = prefix.map(|text| ("wan0".to_owned(), text.parse().unwrap())).into_iter().collect();
        parse_at(Path::new("test.toml"), FILE, prefixes).expect("valid")
    }

    #[test]
    fn dh_708_a_subnet_and_its_pools_are_counted_from_the_prefix_of_the_interface() {
        let config = at(Some("2001:db8:aa00::/56"));
        let subnet = &config.policy.networks[0].subnets6[0];
        assert_eq!(subnet.prefix, "2001:db8:aa00:2::/64".parse().unwrap());
        for (ip, pooled) in
            [("2001:db8:aa00:2::1000", true), ("2001:db8:aa00:2::1100", false), ("2001:db8:aa00:2::2:7", true)]
        {
            assert_eq!(subnet.pooled(ip.parse().unwrap()), pooled, "{ip}");
        }
        let delegate: Vec<String> = subnet.delegate.iter().map(|d| d.prefix.to_string()).collect();
        assert_eq!(delegate, ["2001:db8:aa00:80::/57", "fd00:1::/48"]);
        let times = config.policy.times6(subnet);
        assert_eq!((times.preferred, times.valid), (2_700, 5_400), "RFC 9096 §4");
        assert_eq!(config.networks[0].follows[0].prefix, Some(subnet.prefix));
        // a shorter prefix of the provider has no room for the delegation: that alone is left out
        let config = at(Some("2001:db8:bb00:70::/60"));
        let subnet = &config.policy.networks[0].subnets6[0];
        assert_eq!((subnet.prefix.to_string().as_str(), subnet.delegate.len()), ("2001:db8:bb00:72::/64", 1));
        assert!(
            config.findings[0].to_string().contains("does not lie in 2001:db8:bb00:70::/60"),
            "{:?}",
            config.findings
        );
    }

    #[test]
    fn without_a_prefix_the_subnet_waits_and_all_else_is_served() {
        for prefix in [None, Some("2001:db8:aa00:7::/64")] {
            let config = at(prefix);
            assert!(config.policy.networks[0].subnets6.is_empty());
            let follows = &config.networks[0].follows;
            assert_eq!((follows.len(), follows[0].interface.as_str(), follows[0].prefix), (1, "wan0", None));
        }
    }

    #[test]
    fn what_cannot_be_is_complained_about_without_any_interface() {
        let problems = |text: &str| parse(Path::new("test.toml"), text).expect_err("invalid").to_string();
        let absolute = problems(&FILE.replace("::1000-::1fff", "2001:db8:aa00:2::1000-2001:db8:aa00:2::1fff"));
        assert!(absolute.contains("test.toml:13:9") && absolute.contains("counted from the prefix"), "{absolute}");
        let both = problems(&FILE.replace("prefix_id = 2", "prefix = \"2001:db8:9::/64\""));
        assert!(both.contains("exclude each other"), "{both}");
        let alone = problems(&FILE.replace("prefix_from = \"wan0\"", "prefix = \"2001:db8:9::/64\""));
        assert!(alone.contains("`prefix_id` is for `prefix_from`"), "{alone}");
    }
}
