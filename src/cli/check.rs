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
}

impl Check {
    /// One line about what a good file holds, and exit code 0; what is odd about it goes to standard error.
    pub fn run(self) -> Result<(), Failure> {
        let config = config::load(&self.file).map_err(|problems| Failure::new(Exit::Usage, problems.to_string()))?;
        output::line(&format!("{}: ok, {}", self.file.display(), summary(&config)))?;
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
    let parts =
        [("DHCPv4", config.dhcp4.enabled), ("DNS", config.dns.enabled), ("provisioning", config.provisioning.enabled)];
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
        assert_eq!(summary(&Config::default()), "0 networks, 0 subnets, 0 reservations, nothing is enabled");
    }
}
