//! The second half of the pipeline: which file the name means, whether this identity may have it, and its
//! bytes. Refuses the same way whatever the reason.

use std::net::{IpAddr, SocketAddr};

use sha2::{Digest, Sha256};

use super::request::{Decision, FileReply, Served};
use super::{Case, Pack, Provisioning};
use crate::domain::device::{Device, Role, Value};
use crate::domain::hex;
use crate::domain::phone::gate::{Denial, gate};
use crate::domain::phone::plugin::Scope;
use crate::domain::phone::render::Subject;
use crate::domain::phone::route::Route;
use crate::domain::phone::settings::Values;
use crate::service::devices::BASE;

impl Provisioning {
    /// Steps 5 to 7.
    pub(super) fn give(&self, pack: &Pack, case: &Case<'_>, device: Option<&Device>) -> (FileReply, Decision) {
        let plugin = device.and_then(|d| d.plugin.as_deref());
        let Some(route) = pack.router.route(plugin, case.name) else {
            let decision = self.missing(pack, case);
            return (FileReply::NotFound, decision);
        };
        let now = self.clock.mono();
        let source = case.request.peer;
        if let Err(denial) =
            gate(&route, device.map(|d| (d, case.strength())), source, &self.settings.load().claims_allow)
        {
            if denial == Denial::Foreign {
                self.remembered.foreign(source, now);
            }
            return (FileReply::NotFound, Decision::Denied(denial));
        }
        if route.file.secret && self.remembered.withheld(source, now) {
            return (FileReply::NotFound, Decision::Blocked);
        }
        match self.render(pack, case, &route, device) {
            Ok(bytes) => {
                let decision = Decision::Served { template: route.file.template.clone(), bytes: bytes.len() };
                let etag = hex::write(&Sha256::digest(&bytes)[..16]);
                let modified = self.revisions.date(case.name.bytes(), &etag, case.now);
                let media = route.file.media.clone();
                (FileReply::File(Served { bytes: bytes.into(), etag, media, modified }), decision)
            }
            Err(why) => {
                tracing::warn!(%why, plugin = %route.plugin.id, "a file could not be rendered");
                (FileReply::Failed, Decision::Failed(why))
            }
        }
    }

    /// A name that this sender has no file under; another phone's device file counts as foreign (PR-53).
    fn missing(&self, pack: &Pack, case: &Case<'_>) -> Decision {
        let own = case.bound().map(|(mac, _)| mac).or(case.found.fields.mac);
        let anothers =
            pack.router.all(case.name).any(|r| r.file.scope == Scope::Device && r.mac.is_some() && r.mac != own);
        if !anothers {
            return Decision::NoFile;
        }
        self.remembered.foreign(case.request.peer, self.clock.mono());
        Decision::Denied(if own.is_some() { Denial::Foreign } else { Denial::Nobody })
    }

    fn render(
        &self,
        pack: &Pack,
        case: &Case<'_>,
        route: &Route<'_>,
        device: Option<&Device>,
    ) -> Result<Vec<u8>, String> {
        let device = device.filter(|_| route.file.scope == Scope::Device);
        let config = match device.and_then(|d| d.config.clone()) {
            Some(id) => id,
            None if device.is_some() => self.devices.of_role(Role::Default).map_or(BASE.to_owned(), |c| c.id.clone()),
            None => BASE.to_owned(),
        };
        let settings: Values = self.devices.opened(&config).map_err(|e| e.to_string())?;
        let base = match settings.get("http_base_url") {
            Some(Value::Text(url)) => Some(url.clone()),
            _ => self.settings.load().http_url.clone(),
        };
        let http_url = base.unwrap_or_else(|| self.http_url(case.request.local));
        let tftp_ip = case.request.local.to_string();
        let subject = Subject { device, settings: &settings, http_url: &http_url, tftp_ip: &tftp_ip };
        pack.renderer.render(route, case.name, subject).map_err(|e| e.to_string())
    }

    fn http_url(&self, local: IpAddr) -> String {
        format!("http://{}", SocketAddr::new(local, self.settings.load().http_port))
    }
}
