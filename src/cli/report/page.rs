//! The page of a report: one HTML file that needs nothing else, for screens light and dark, narrow and wide, and for paper.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::draw::{Figure, escaped};

/// How a page looks.
const STYLE: &str = include_str!("style.css");

/// A page in the making.
#[derive(Debug, Default)]
pub struct Page {
    title: String,
    /// Identifier and heading of each section.
    sections: Vec<(String, String)>,
    body: String,
}

impl Page {
    /// One with a title, and a line below it.
    pub fn new(title: &str, subtitle: &str) -> Self {
        let mut page = Self { title: title.to_owned(), ..Self::default() };
        let _ = writeln!(page.body, "<header>\n<h1>{}</h1>\n<p>{}</p>\n</header>", escaped(title), escaped(subtitle));
        page
    }

    /// Begins a section.
    pub fn section(&mut self, heading: &str) {
        if !self.sections.is_empty() {
            self.body += "</section>\n";
        }
        let id = format!("s{}", self.sections.len() + 1);
        let _ = writeln!(
            self.body,
            "<section id=\"{id}\" aria-labelledby=\"{id}-h\">\n<h2 id=\"{id}-h\">{}</h2>",
            escaped(heading)
        );
        self.sections.push((id, heading.to_owned()));
    }

    /// A paragraph.
    pub fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p>{}</p>", escaped(text));
    }

    /// A paragraph of what is less important.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p class=\"note\">{}</p>", escaped(text));
    }

    /// Large numbers with their names.
    pub fn numbers(&mut self, numbers: &[(&str, String)]) {
        self.body += "<dl class=\"numbers\">\n";
        for (name, number) in numbers {
            let _ = writeln!(self.body, "<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), escaped(number));
        }
        self.body += "</dl>\n";
    }

    /// A drawing; its title and description are for screen readers.
    pub fn figure(&mut self, figure: &Figure) {
        let svg = figure.to_svg();
        let svg = svg.split_once("?>").map_or(svg.as_str(), |(_, svg)| svg.trim_start());
        let _ = writeln!(
            self.body,
            "<div class=\"chart\" tabindex=\"0\" role=\"group\" aria-label=\"{}\">{svg}</div>",
            escaped(&figure.title)
        );
    }

    /// Small pictures with words below; each is a PNG file, with what it shows in words.
    pub fn pictures(&mut self, pictures: &[(Vec<u8>, String, String)], width: usize) {
        self.body += "<div class=\"pictures\">\n";
        for (png, alt, words) in pictures {
            let (data, alt, words) = (BASE64_STANDARD.encode(png), escaped(alt), escaped(words));
            let _ = writeln!(
                self.body,
                "<figure><img src=\"data:image/png;base64,{data}\" alt=\"{alt}\" width=\"{width}\"><figcaption>{words}</figcaption></figure>"
            );
        }
        self.body += "</div>\n";
    }

    /// A table: names of columns, and rows whose first cell names them; of a cell, its text and its share of the whole, by which it is
    /// shaded.
    pub fn table(&mut self, caption: &str, names: &[String], rows: &[(String, Vec<(String, f64)>)]) {
        let _ = writeln!(
            self.body,
            "<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"{0}\"><table><caption>{0}</caption>",
            escaped(caption)
        );
        self.body += "<thead><tr>";
        for name in names {
            let _ = write!(self.body, "<th scope=\"col\">{}</th>", escaped(name));
        }
        self.body += "</tr></thead>\n<tbody>\n";
        for (name, cells) in rows {
            let _ = write!(self.body, "<tr><th scope=\"row\">{}</th>", escaped(name));
            for (text, share) in cells {
                let text = escaped(text);
                // By its root, so that a hundredth is seen.
                let _ = match (share.clamp(0.0, 1.0).sqrt() * 100.0).round() as u32 {
                    0 => write!(self.body, "<td>{text}</td>"),
                    percent => write!(self.body, "<td style=\"--share:{percent}%\" class=\"shaded\">{text}</td>"),
                };
            }
            self.body += "</tr>\n";
        }
        self.body += "</tbody></table></div>\n";
    }

    /// What is shown when it is asked for: a program's words, as they are.
    pub fn folded(&mut self, heading: &str, text: &str) {
        let (heading, text) = (escaped(heading), preserved(text));
        let _ = writeln!(self.body, "<details><summary>{heading}</summary><pre>{text}</pre></details>");
    }

    /// A program's words.
    pub fn words(&mut self, text: &str) {
        let _ = writeln!(self.body, "<pre>{}</pre>", preserved(text));
    }

    /// The file.
    pub fn into_html(mut self) -> String {
        if !self.sections.is_empty() {
            self.body += "</section>\n";
        }
        let link = |(id, heading): &(String, String)| format!("<a href=\"#{id}\">{}</a>", escaped(heading));
        let links: Vec<String> = self.sections.iter().map(link).collect();
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <nav aria-label=\"Sections\">{}</nav>\n<main>\n{}</main>\n</body>\n</html>\n",
            escaped(&self.title),
            links.join(" "),
            self.body
        )
    }
}

/// Text for a page whose lines stay.
fn preserved(text: &str) -> String {
    text.lines().map(|line| escaped(line) + "\n").collect()
}
