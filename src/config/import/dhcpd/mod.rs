//! ISC dhcpd: `dhcpd.conf` for DHCPv4 and DHCPv6, and its lease files. Owns which statement means what at
//! which level; refuses to keep silent about any.

use std::collections::BTreeMap;
use std::path::Path;

use super::expr::Expr;
use super::model::{ClassScope, Family, Model, Scope, Times};
use super::report::Report;
use super::source::{Files, Place, Unreadable};

/// Classes, subclasses, conditions.
mod classes;
/// Conditions and values.
mod expr;
/// Hosts.
mod hosts;
/// Lease files.
mod leases;
/// Networks, subnets, pools.
mod networks;
/// Options and their spaces.
mod options;
/// Statements.
mod tree;
/// Values of options.
mod values;

use tree::Statement;

/// An import under way.
pub struct Dhcpd<'a> {
    model: &'a mut Model,
    report: &'a mut Report,
    own: Vec<options::Own>,
    spaces: Vec<String>,
    /// Spaces that some level sends as vendor options.
    vendor: Vec<String>,
    /// What classes match by, for their subclasses.
    matches: BTreeMap<String, Expr>,
    /// Classes of conditions at the top, which subnets and networks come before.
    weak: Vec<String>,
    family: Family,
}

/// What is said at one level, with what lies between it and the top.
#[derive(Debug, Clone, Default)]
pub struct Level {
    pub scope: Scope,
    /// `vendor-option-space`.
    pub vendor: Option<String>,
    /// Options of other spaces: space, code, bytes.
    pub inner: Vec<(String, u16, Vec<u8>, Place)>,
    /// `allow` and `deny` of members.
    pub allow: Vec<String>,
    pub deny: Vec<String>,
    /// Options that a condition gives: class, what it gives.
    pub conditional: Vec<ClassScope>,
}

impl Level {
    /// What holds in a level below this one unless it says otherwise.
    fn inherit(&mut self, outer: &Level) {
        self.scope.inherit(&outer.scope);
        self.vendor = self.vendor.take().or_else(|| outer.vendor.clone());
    }
}

/// Reads a configuration or a lease file into the model.
pub fn read(files: &Files, path: &Path, model: &mut Model, report: &mut Report) -> Result<(), Unreadable> {
    let tree = tree::read(files, path)?;
    if leases::is_lease_file(path, &tree) {
        leases::read(&tree, model, report);
        return Ok(());
    }
    model.configured = true;
    let six = |s: &Statement| matches!(s.word(0), "subnet6" | "range6" | "prefix6" | "fixed-address6");
    let four = |s: &Statement| s.word(0) == "subnet";
    let family = if any(&tree, six) && !any(&tree, four) { Family::V6 } else { Family::V4 };
    match family {
        Family::V4 => model.v4 = true,
        Family::V6 => model.v6 = true,
    }
    let mut dhcpd = Dhcpd {
        model,
        report,
        own: Vec::new(),
        spaces: Vec::new(),
        vendor: Vec::new(),
        matches: BTreeMap::new(),
        weak: Vec::new(),
        family,
    };
    dhcpd.definitions(&tree);
    let mut top = Level::default();
    dhcpd.level(&tree, &mut top, At::Top);
    dhcpd.weak = top.conditional.iter().map(|conditional| conditional.class.clone()).collect();
    // hosts and subnets at the top inherit nothing: what holds at the top holds for all
    dhcpd.objects(&tree, &Level::default());
    dhcpd.finish(top);
    Ok(())
}

fn any(tree: &[Statement], is: fn(&Statement) -> bool) -> bool {
    tree.iter().any(|s| is(s) || any(s.body(), is))
}

/// Where a statement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Top,
    Group,
    Shared,
    Subnet,
    Pool,
    Class,
    Host,
}

impl Dhcpd<'_> {
    /// Statements of one level that hold for all of it; what has a body of its own makes objects.
    fn level(&mut self, body: &[Statement], level: &mut Level, at: At) {
        // options first: what stands below inherits them wherever they stand in the text
        for statement in body.iter().filter(|s| s.body.is_none()) {
            self.setting(statement, level, at);
        }
        self.conditions(body, level, at, &Expr::Always(true));
        self.carry(level);
    }

    /// The objects of the top level or of a group.
    fn objects(&mut self, body: &[Statement], outer: &Level) {
        let objects = body.iter().filter(|s| s.body.is_some() || s.word(0) == "subclass");
        for statement in objects {
            match statement.word(0) {
                "subnet" | "subnet6" => self.lone_subnet(statement, outer),
                "shared-network" => self.shared(statement, outer),
                "group" => self.group(statement, outer),
                "host" => self.host(statement, outer),
                "class" | "subclass" => self.class(statement),
                "if" | "elsif" | "else" => {}
                "option" => {}
                _ => self.odd(statement),
            }
        }
    }

    fn group(&mut self, statement: &Statement, outer: &Level) {
        let mut level = Level::default();
        self.report.imported(&statement.place, "group");
        self.level(statement.body(), &mut level, At::Group);
        level.inherit(outer);
        self.objects(statement.body(), &level);
    }

    /// Statements with a body that make no object here.
    fn odd(&mut self, statement: &Statement) {
        let what = statement.shown();
        match statement.word(0) {
            "failover" => {
                let why = "one server answers; its leases are in one journal";
                self.report.refused(&statement.place, what, why, "stop the partner before lanlord serves the network");
            }
            "zone" | "key" => {
                self.report.adapted(&statement.place, what, "names of leases are in lanlord's DNS at once");
            }
            "on" => self.report.refused(
                &statement.place,
                what,
                "programs are not run on events",
                "follow the events of the CLAWS bus",
            ),
            "switch" => {
                self.report.refused(&statement.place, what, "it is not read here", "write it with if and elsif")
            }
            _ => self.unknown(statement),
        }
    }

    fn unknown(&mut self, statement: &Statement) {
        let why = "this statement is not known here";
        self.report.refused(&statement.place, statement.shown(), why, "look up what it does, and whether you need it");
    }

    /// What holds at the top becomes ours; networks get what no subnet says.
    fn finish(&mut self, top: Level) {
        if let Some(guard) = self.guard(&top, &Place::default()) {
            self.model.networks.iter_mut().filter(|n| n.guard.is_empty()).for_each(|n| n.guard = guard.clone());
        }
        let defaults = Times { default: Some(43_200), min: Some(300), max: Some(86_400), preferred: None };
        let mut scope = top.scope;
        let own = match self.family {
            Family::V4 => &mut scope.times,
            Family::V6 => &mut scope.times6,
        };
        own.default = own.default.or(defaults.default);
        own.min = own.min.or(defaults.min);
        own.max = own.max.or(defaults.max);
        scope.authoritative = scope.authoritative.or(Some(false));
        scope.inherit(&self.model.global);
        self.model.global = scope;
        for conditional in top.conditional {
            if let Some(class) = self.model.classes.iter_mut().find(|class| class.name == conditional.class) {
                class.scope.inherit(&conditional.scope);
            }
        }
        let weak = std::mem::take(&mut self.weak);
        self.model.lift_classes(&weak);
    }
}
