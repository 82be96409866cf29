//! Classes with their subclasses, conditions at every level, and who is allowed where.

use super::super::expr::Expr;
use super::super::model::{Class, ClassScope, Scope};
use super::super::source::Place;
use super::tree::{Statement, Tok};
use super::{At, Dhcpd, Level, expr};

impl Dhcpd<'_> {
    /// `class "x" { .. }` and `subclass "x" VALUE { .. }`.
    pub fn class(&mut self, statement: &Statement) {
        if statement.word(0) == "subclass" {
            return self.subclass(statement);
        }
        let Some(name) = statement.name(1) else { return self.refuse_class(statement, "it has no name") };
        let mut test = None;
        for inner in statement.body().iter().filter(|s| s.word(0) == "match" && s.body.is_none()) {
            test = Some(if inner.word(1) == "if" {
                expr::condition(&inner.head[2..], &|option| self.code_of(option))
            } else {
                let by = expr::value(&inner.head[1..], &|option| self.code_of(option));
                by.map(|by| {
                    self.matches.insert(name.clone(), by);
                    Expr::Always(false)
                })
            });
        }
        let test = match test.transpose() {
            Ok(test) => test,
            Err(why) => return self.refuse_class(statement, &why),
        };
        for inner in statement.body().iter().filter(|s| matches!(s.word(0), "lease" | "spawn")) {
            let why = if inner.word(0) == "lease" {
                "members are not counted"
            } else {
                "classes that are made of values cannot be defined here"
            };
            self.report.refused(&inner.place, inner.shown(), why, "see whether pools of their own do");
        }
        let mut level = Level::default();
        self.level_of_class(statement.body(), &mut level, &name);
        self.report.imported(&statement.place, format!("class {name}"));
        self.model.classes.push(Class { name, test, scope: level.scope, place: statement.place.clone() });
    }

    fn refuse_class(&mut self, statement: &Statement, why: &str) {
        let todo = "write the class anew, with the words of lanlord-dhcp(7)";
        self.report.refused(&statement.place, statement.shown(), why, todo);
    }

    /// Conditions in a class come before the class itself: the first class that sets a thing wins.
    fn level_of_class(&mut self, body: &[Statement], level: &mut Level, name: &str) {
        for statement in body.iter().filter(|s| s.body.is_none()) {
            self.setting(statement, level, At::Class);
        }
        self.conditions(body, level, At::Class, &Expr::Member(name.to_owned()));
        self.carry(level);
        for conditional in std::mem::take(&mut level.conditional) {
            if let Some(class) = self.model.classes.iter_mut().find(|class| class.name == conditional.class) {
                class.scope.inherit(&conditional.scope);
            }
        }
    }

    fn subclass(&mut self, statement: &Statement) {
        let name = statement.name(1).unwrap_or_default();
        let Some(by) = self.matches.get(&name).cloned() else {
            return self.refuse_class(statement, "there is no class of that name before it that matches by a value");
        };
        let value = match expr::value(statement.head.get(2..).unwrap_or_default(), &|option| self.code_of(option)) {
            Ok(value) => value,
            Err(why) => return self.refuse_class(statement, &why),
        };
        let test = expr::equal(by, value);
        if let Some(class) = self.model.classes.iter_mut().find(|class| class.name == name) {
            let known = class.test.take().unwrap_or(Expr::Always(false));
            class.test = Some(known.or(test.clone()));
        }
        self.report.imported(&statement.place, statement.shown());
        if !statement.body().is_empty() {
            let own = format!("{name}-{}", statement.place.line);
            let mut level = Level::default();
            self.level_of_class(statement.body(), &mut level, &own);
            let class = Class { name: own, test: Some(test), scope: level.scope, place: statement.place.clone() };
            let at = self.model.classes.iter().position(|class| class.name == name).unwrap_or(0);
            self.model.classes.insert(at, class);
        }
    }

    /// `if`, `elsif` and `else` of one level: each branch is a class that excludes the branches before it.
    pub fn conditions(&mut self, body: &[Statement], level: &mut Level, at: At, outer: &Expr) {
        // what the branches so far have not taken; `None` if one of them cannot be asked
        let mut left = Some(Expr::Always(true));
        for statement in body.iter().filter(|s| s.body.is_some()) {
            let condition = match statement.word(0) {
                "if" => {
                    left = Some(Expr::Always(true));
                    expr::condition(&statement.head[1..], &|option| self.code_of(option))
                }
                "elsif" => expr::condition(&statement.head[1..], &|option| self.code_of(option)),
                "else" if statement.word(1) == "if" => {
                    expr::condition(&statement.head[2..], &|option| self.code_of(option))
                }
                "else" => Ok(Expr::Always(true)),
                _ => continue,
            };
            let test = match (condition, left.clone()) {
                (Ok(condition), Some(before)) => {
                    left = Some(before.clone().and(condition.clone().negated()));
                    before.and(condition)
                }
                (Ok(_), None) => {
                    self.refuse_class(statement, "a branch before it cannot be asked");
                    continue;
                }
                (Err(why), _) => {
                    left = None;
                    self.refuse_class(statement, &why);
                    continue;
                }
            };
            self.branch(statement, outer.clone().and(test), level, at);
        }
    }

    fn branch(&mut self, statement: &Statement, test: Expr, level: &mut Level, at: At) {
        if at == At::Host {
            let why = "a reservation gives one thing whatever its client asks";
            self.report.refused(&statement.place, statement.shown(), why, "put the condition into a class");
            return;
        }
        let mut inner = Level::default();
        for plain in statement.body().iter().filter(|s| s.body.is_none()) {
            self.setting(plain, &mut inner, at);
        }
        self.conditions(statement.body(), &mut inner, at, &test);
        self.carry(&mut inner);
        level.conditional.append(&mut inner.conditional);
        let name = self.free_name(&format!("if-{}", statement.place.line));
        self.report.adapted(&statement.place, statement.shown(), format!("it is the class {name} here"));
        self.model.classes.push(Class {
            name: name.clone(),
            test: Some(test),
            scope: Scope::default(),
            place: statement.place.clone(),
        });
        if !inner.scope.is_empty() {
            level.conditional.push(ClassScope { class: name, scope: inner.scope });
        }
    }

    fn free_name(&self, wish: &str) -> String {
        let mut name = wish.to_owned();
        while self.model.classes.iter().any(|class| class.name == name) {
            name.push('x');
        }
        name
    }

    /// `allow`, `deny` and `ignore`.
    pub fn permission(&mut self, statement: &Statement, level: &mut Level, at: At) {
        let (place, what) = (&statement.place, statement.shown());
        let allow = statement.word(0) == "allow";
        let rest: Vec<String> = statement.head[1..].iter().filter_map(Tok::name).collect();
        let words: Vec<&str> = rest.iter().map(String::as_str).collect();
        let class = match words[..] {
            ["members", "of", class] => class,
            ["known-clients"] | ["known", "clients"] => "KNOWN",
            ["unknown-clients"] | ["unknown", "clients"] if !allow => {
                level.allow.push("KNOWN".to_owned());
                return self.report.imported(place, what);
            }
            ["unknown-clients"] | ["unknown", "clients"] if at == At::Pool => "UNKNOWN",
            ["unknown-clients"] | ["unknown", "clients"] | ["all", "clients"] | ["booting"] if allow => {
                return self.report.imported(place, what);
            }
            ["bootp"] | ["dynamic", "bootp", "clients"] if !allow => return self.report.imported(place, what),
            ["client-updates" | "leasequery" | "duplicates" | "declines"] => {
                return self.report.adapted(place, what, "lanlord does this its own way: see lanlord-dhcp(7)");
            }
            _ => return self.report.refused(place, what, "it cannot be said here", "see whether your clients need it"),
        };
        match allow {
            true => level.allow.push(class.to_owned()),
            false => level.deny.push(class.to_owned()),
        }
        self.report.imported(place, what);
    }

    /// The classes of which a client must be in one; `None` for everybody. Who is denied makes a class of
    /// the others.
    pub fn guard(&mut self, level: &Level, place: &Place) -> Option<Vec<String>> {
        if level.deny.is_empty() {
            let mut allow = level.allow.clone();
            allow.sort();
            allow.dedup();
            return (!allow.is_empty()).then_some(allow);
        }
        let member = |name: &String| Expr::Member(name.clone());
        let any = level.allow.iter().map(member).reduce(Expr::or).unwrap_or(Expr::Always(true));
        let test = level.deny.iter().map(|name| member(name).negated()).fold(any, Expr::and);
        let name = self.free_name(&format!("not-{}", level.deny.join("-")));
        let same = self.model.classes.iter().find(|class| class.test.as_ref() == Some(&test));
        let name = match same {
            Some(class) => class.name.clone(),
            None => {
                self.report.adapted(
                    place,
                    format!("deny members of {}", level.deny.join(", ")),
                    format!("it is the class {name} here"),
                );
                self.model.classes.push(Class {
                    name: name.clone(),
                    test: Some(test),
                    scope: Scope::default(),
                    place: place.clone(),
                });
                name
            }
        };
        Some(vec![name])
    }
}
