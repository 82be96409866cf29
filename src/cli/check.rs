//! `lanlord check FILE`: all problems of a configuration at once, each with its place.

use std::path::PathBuf;

use clap::Args;

use super::exit::{Exit, Failure};
use super::output;
use crate::config::{self, Config};
use crate::domain::dhcp::review::review;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Configuration file
    #[arg(default_value = "/etc/lanlord/lanlord.toml")]
    file: PathBuf,
    /// The same, as `serve` has it
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
}

impl Check {
    /// One line about what a good file holds, and exit code 0; what is odd about it goes to standard error.
    pub fn run(self) -> Result<(), Failure> {
        let file = self.config.unwrap_or(self.file);
        let config = config::load(&file).map_err(|problems| Failure::new(Exit::Usage, problems.to_string()))?;
        output::line(&format!("{}: ok, {}", file.display(), summary(&config)))?;
        config.findings.iter().try_for_each(|finding| output::warning(&finding.to_string()))?;
        // our own addresses are not known without a daemon
        let odd = review(&config.policy, config.policy.reservations.iter(), &[]);
        odd.iter().try_for_each(|finding| output::warning(&format!("{}; {}", finding.text, finding.fix)))
    }
}

/// How much there is of what, and which parts are on.
fn summary(config: &Config) -> String {
    let counted = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let subnets = config.networks.iter().map(|network| network.subnets.len()).sum();
    let advertised = config.networks.iter().any(|network| network.ra.as_ref().is_some_and(|ra| ra.enabled));
    let parts = [
        ("DHCPv4", config.dhcp4.enabled),
        ("DHCPv6", config.dhcp6.enabled),
        ("router advertisements", advertised),
        ("DNS", config.dns.enabled),
        ("provisioning", config.provisioning.enabled),
    ];
    let on: Vec<&str> = parts.into_iter().filter_map(|(name, on)| on.then_some(name)).collect();
    let on = if on.is_empty() { "nothing is enabled".to_owned() } else { format!("{} on", on.join(", ")) };
    let words = [
        counted(config.networks.len(), "network"),
        counted(subnets, "subnet"),
        counted(config.policy.reservations.len(), "reservation"),
        on,
    ];
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_is_summed_up() {
        let text = "[[network]]\nname = \"a\"\n[[network.subnet]]\nprefix = \"10.0.0.0/24\"\n[dhcp4]\nenabled = true\n";
        let config = config::parse(std::path::Path::new("t.toml"), text).expect("valid");
        assert_eq!(summary(&config), "1 network, 1 subnet, 0 reservations, DHCPv4 on");
        let text = "[[network]]\nname = \"a\"\ninterface = \"eth1\"\n[network.ra]\nenabled = true\n[[network.subnet]]\nprefix = \"fd00::/64\"\n[dhcp6]\nenabled = true\n";
        let config = config::parse(std::path::Path::new("t.toml"), text).expect("valid");
        assert_eq!(summary(&config), "1 network, 1 subnet, 0 reservations, DHCPv6, router advertisements on");
        assert_eq!(summary(&Config::default()), "0 networks, 0 subnets, 0 reservations, nothing is enabled");
    }
}
