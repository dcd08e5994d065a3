//! The page that the browser shows at the end of a login.

use std::fmt::Write as _;

use crate::escape::Escaped;

/// What the page says.
pub enum Page<'a> {
    /// Logged in.
    Success {
        /// Whom the identity provider named.
        who: &'a str,
        /// The cluster's name.
        cluster: &'a str,
        /// The identity provider.
        idp: &'a str,
    },
    /// Not logged in.
    Failure {
        /// Why; shown on the terminal too.
        problem: &'a str,
    },
}

/// A whole HTML document. Nothing of the request is in it, and everything in it is escaped.
pub fn html(page: &Page<'_>, style_nonce: &str) -> String {
    let (title, color, body) = match page {
        Page::Success { who, cluster, idp } => (
            "Logged in",
            "#1a7f37",
            format!(
                "<p>You are <b>{}</b> at cluster <b>{}</b>.</p><p class=\"small\">Identity provider: {}</p>",
                text(who),
                text(cluster),
                text(idp)
            ),
        ),
        Page::Failure { problem } => ("Not logged in", "#b42318", format!("<p>{}</p>", text(problem))),
    };
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} – Gatepass</title>\
         <link rel=\"icon\" href=\"data:,\"><style nonce=\"{style_nonce}\">\
         body{{font:16px/1.5 system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;margin:0;\
         background:#f6f8fa;color:#1f2328}}main{{background:#fff;border:1px solid #d1d9e0;border-top:4px solid {color};\
         border-radius:8px;padding:2rem 3rem;max-width:34rem}}h1{{font-size:1.4rem;margin:0 0 .5rem}}\
         .small{{color:#59636e;font-size:.85rem}}</style></head>\
         <body><main><h1>{title}</h1>{body}<p class=\"small\">You can close this page and return to the terminal.</p>\
         </main></body></html>"
    )
}

fn text(raw: &str) -> String {
    let mut escaped = String::new();
    for c in Escaped(raw).to_string().chars() {
        match c {
            '<' | '>' | '&' | '"' | '\'' => {
                write!(escaped, "&#{};", u32::from(c)).expect("a String takes all")
            }
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_cannot_become_markup() {
        let page = Page::Success {
            who: "<script>alert(1)</script>\u{202e}",
            cluster: "a\"b",
            idp: "https://i",
        };
        let html = html(&page, "n");
        assert!(
            !html.contains("<script>") && html.contains("&#60;script&#62;") && !html.contains('\u{202e}')
        );
    }
}
