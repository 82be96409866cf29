//! The first page: what the daemon is doing, at a glance. Owns HTML; refuses to fetch anything: it renders
//! what it is given. No script, no inline style, no address off this host.

use std::fmt::{self, Write};

/// Rules for browsers on every page (AP-211).
pub const HEADERS: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; \
         base-uri 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// Where the style sheet is served.
pub const STYLE_PATH: &str = "/style.css";
/// The style sheet: light and dark, down to 360 px.
pub const STYLE: &str = include_str!("style.css");

/// Rows of a table on the page; the full list is behind the API.
pub const ROWS: usize = 50;

/// A table: titles, rows of cells, and what an empty one says is to be done.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pub id: &'static str,
    pub title: &'static str,
    /// All there are; may exceed the rows shown.
    pub total: usize,
    pub columns: &'static [&'static str],
    pub rows: Vec<Vec<String>>,
    pub empty: &'static str,
}

/// A number at the top of the page, which leads to its table.
#[derive(Debug, Clone)]
pub struct Figure {
    pub label: &'static str,
    pub value: usize,
    pub link: &'static str,
}

/// Something that an administrator should know, worst first.
#[derive(Debug, Clone)]
pub struct Finding {
    /// `error`, `warning` or `info`.
    pub severity: &'static str,
    pub text: String,
}

/// All that the page shows.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub version: String,
    pub domain: String,
    /// RFC 3339.
    pub now: String,
    pub uptime_s: u64,
    /// Number of the newest entry of the journal.
    pub seq: u64,
    pub figures: Vec<Figure>,
    pub findings: Vec<Finding>,
    pub tables: Vec<Table>,
}

/// The status page.
pub fn status(page: &Page) -> String {
    let mut body = String::new();
    let _ = write!(
        body,
        "<header><h1>lanlord</h1><p>{} <span>·</span> version {} <span>·</span> up {} <span>·</span> journal {}</p>\
         <form method=\"post\" action=\"/logout\"><button>Sign out</button></form></header><main>",
        Escaped(&page.domain),
        Escaped(&page.version),
        duration(page.uptime_s),
        page.seq
    );
    body.push_str("<ul class=\"figures\">");
    for figure in &page.figures {
        let _ = write!(
            body,
            "<li><a href=\"#{}\"><b>{}</b> {}</a></li>",
            Escaped(figure.link),
            figure.value,
            Escaped(figure.label)
        );
    }
    body.push_str("</ul>");
    findings(&mut body, &page.findings);
    page.tables.iter().for_each(|t| table(&mut body, t));
    let _ = write!(body, "</main><footer>As of {}. Reload for news.</footer>", Escaped(&page.now));
    document("lanlord", &body)
}

/// The form that asks for a token; `problem` says why it is shown again.
pub fn login(problem: Option<&str>) -> String {
    let mut body = String::from("<main class=\"login\"><h1>lanlord</h1><p>The lord of the LAN's leases.</p>");
    if let Some(problem) = problem {
        let _ = write!(body, "<p class=\"error\" role=\"alert\">{}</p>", Escaped(problem));
    }
    body.push_str(
        "<form method=\"post\" action=\"/login\"><label for=\"token\">Token</label>\
         <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" required autofocus>\
         <button>Sign in</button></form>\
         <p class=\"hint\">The first token is in <code>admin.token</code> in the state folder; \
         <code>lanlord token create NAME</code> makes others.</p></main>",
    );
    document("Sign in - lanlord", &body)
}

fn findings(out: &mut String, findings: &[Finding]) {
    if findings.is_empty() {
        out.push_str("<p class=\"fine\">Nothing needs your attention.</p>");
        return;
    }
    out.push_str("<ul class=\"findings\">");
    for finding in findings {
        let _ = write!(out, "<li class=\"{0}\"><b>{0}</b> {1}</li>", finding.severity, Escaped(&finding.text));
    }
    out.push_str("</ul>");
}

fn table(out: &mut String, table: &Table) {
    let Table { id, title, total, columns, rows, empty } = table;
    let _ = write!(out, "<section id=\"{id}\"><h2>{title} <small>{total}</small></h2>");
    if rows.is_empty() {
        let _ = write!(out, "<p class=\"empty\">{}</p></section>", Escaped(empty));
        return;
    }
    out.push_str("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>");
    columns.iter().for_each(|c| {
        let _ = write!(out, "<th scope=\"col\">{}</th>", Escaped(c));
    });
    out.push_str("</tr></thead><tbody>");
    for row in rows.iter().take(ROWS) {
        out.push_str("<tr>");
        row.iter().for_each(|cell| {
            let _ = write!(out, "<td>{}</td>", Escaped(cell));
        });
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
    if *total > rows.len().min(ROWS) {
        let _ = write!(out, "<p class=\"hint\">The first {} of {total}.</p>", rows.len().min(ROWS));
    }
    out.push_str("</section>");
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"icon\" href=\"data:,\"><meta name=\"color-scheme\" content=\"light dark\"><title>{}</title>\
         <link rel=\"stylesheet\" href=\"{STYLE_PATH}\"></head><body>{body}</body></html>",
        Escaped(title)
    )
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Text that may have come from any client of the network.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c if c.is_control() => f.write_char('\u{fffd}'),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(cell: &str) -> Page {
        Page {
            figures: vec![Figure { label: "leases", value: 1, link: "leases" }],
            findings: vec![Finding { severity: "warning", text: cell.to_owned() }],
            tables: vec![Table {
                id: "leases",
                title: "Leases",
                total: 1,
                columns: &["Name"],
                rows: vec![vec![cell.to_owned()]],
                empty: "None.",
            }],
            ..Page::default()
        }
    }

    #[test]
    fn what_clients_send_stays_text() {
        let html = status(&page("<script>alert(1)</script>\"'&\u{1b}"));
        assert!(!html.contains("<script"));
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\u{fffd}"));
        assert!(!login(Some("<b>")).contains("<b>"));
    }

    #[test]
    fn pages_keep_to_their_own_content_security_policy() {
        for html in [status(&page("x")), login(None)] {
            for banned in ["<script", "style=", " on", "http://", "https://", "javascript:"] {
                assert!(!html.contains(banned), "{banned}");
            }
        }
    }

    #[test]
    fn an_empty_table_names_the_next_action() {
        let mut page = page("x");
        page.tables[0].rows.clear();
        assert!(status(&page).contains("None."));
    }

    #[test]
    fn long_lists_are_cut_and_say_so() {
        let mut page = page("x");
        page.tables[0].rows = vec![vec!["row".to_owned()]; 60];
        page.tables[0].total = 700;
        let html = status(&page);
        assert_eq!(html.matches("<td>row</td>").count(), ROWS);
        assert!(html.contains("The first 50 of 700."));
    }
}
