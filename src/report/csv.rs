//! Tables for other programs: RFC 4180, with lines that end as those of this system. What is not known is empty.

use serde_json::Value as Json;

/// A field: quoted where it must be.
pub fn field(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// A line of fields, without its end.
pub fn line<T: AsRef<str>>(fields: impl IntoIterator<Item = T>) -> String {
    let fields: Vec<String> = fields.into_iter().map(|text| field(text.as_ref())).collect();
    // A line of one empty field would be an empty line, which readers pass over.
    if fields.len() == 1 && fields[0].is_empty() { "\"\"".to_owned() } else { fields.join(",") }
}

/// A value as a field holds it: numbers with all their digits, lists with commas.
pub fn word(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Array(items) if items.is_empty() => "none".to_owned(),
        Json::Array(items) => items.iter().map(word).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// All names that rows have, each where it first stands behind those before it.
pub fn columns<T: AsRef<str>>(rows: impl Iterator<Item: IntoIterator<Item = T>>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for row in rows {
        let mut place = 0;
        for name in row {
            let name = name.as_ref();
            // Nearly always as in the row above.
            if names.get(place).is_some_and(|other| other == name) {
                place += 1;
                continue;
            }
            let known = names.iter().position(|other| other == name);
            let found = known.unwrap_or(place);
            if known.is_none() {
                names.insert(found, name.to_owned());
            }
            place = found + 1;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(line(["a b", "", "x"]), "a b,,x");
        assert_eq!(line(["a,\"b\"\n", "c\r"]), "\"a,\"\"b\"\"\n\",\"c\r\"");
        assert_eq!(line([""]), "\"\"");
    }

    #[test]
    fn numbers_have_all_digits() {
        let words = [json!(0.1 + 0.2), json!(1e-7), json!(3), json!(null), json!([300, 100]), json!([]), json!(true)];
        let expected = ["0.30000000000000004", "1e-7", "3", "", "300,100", "none", "true"];
        assert_eq!(words.each_ref().map(word), expected);
    }
}
