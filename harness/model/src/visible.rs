//! Text from elsewhere, so that everything in it can be seen: what programs print, what a page, an answer or an object holds
//! may move a cursor, ring a bell, turn the direction of writing, hide words or be no XML. Whatever leaves this program goes
//! through here: reports, transcripts, evidence, and by [`print`](macro@print), [`println`](macro@println) and
//! [`eprintln`](macro@eprintln), which stand for the standard ones in all of this crate, what its commands say.
//!
//! Such a character is written as `\u{1b}`; in a file whose format has an escape of its own (JSON, YAML), as that.
//! Line ends and tabs stay. What is written this way stays as it is when it is written once more.

use std::borrow::Cow;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Whether a character cannot be seen as what it is, or does something else than being seen.
pub fn is_odd(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // Soft hyphen, joiners, fillers, separators, marks of direction, invisible operators, byte order mark, annotations, tags.
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0d}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => true,
        c => c.is_control() || is_noncharacter(c),
    }
}

/// Whether Unicode promises that this is no character, ever.
fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

/// The text with odd characters as `\u{1b}`.
pub fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |c, out| out.extend(c.escape_unicode()))
}

/// Text of a JSON file: odd characters, which stand only within its strings, as JSON escapes them.
pub fn json(text: &str) -> Cow<'_, str> {
    escaped(text, |c, out| {
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    })
}

/// Text of a YAML file: odd characters as a quoted scalar of it escapes them; a plain one then shows the escape.
pub fn yaml(text: &str) -> Cow<'_, str> {
    escaped(text, |c, out| {
        let code = u32::from(c);
        out.push_str(&if code > 0xffff { format!("\\U{code:08x}") } else { format!("\\u{code:04x}") });
    })
}

/// Text of a file of this name, as its format wants it.
pub fn file<'a>(name: &str, content: &'a str) -> Cow<'a, str> {
    match name.rsplit('.').next() {
        Some("json" | "jsonl") => json(content),
        Some("yaml" | "yml") => yaml(content),
        _ => text(content),
    }
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.chars().any(is_odd) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_odd(c) { escape(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// The same with every text in it (keys as well) without odd characters.
///
/// # Errors
/// It does not read back as what it is written as.
pub fn of<T: Serialize + DeserializeOwned>(value: &T) -> serde_json::Result<T> {
    serde_json::from_value(walked(serde_json::to_value(value)?))
}

/// JSON for people and machines; its texts are what they were, odd characters in them are escaped as JSON does.
///
/// # Errors
/// It cannot be written as JSON.
pub fn pretty(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(json(&serde_json::to_string_pretty(value)?).into_owned())
}

fn walked(value: Value) -> Value {
    match value {
        Value::String(string) => Value::String(text(&string).into_owned()),
        Value::Array(values) => values.into_iter().map(walked).collect(),
        Value::Object(map) => {
            map.into_iter().map(|(key, value)| (text(&key).into_owned(), walked(value))).collect()
        }
        other => other,
    }
}

/// `print!`, with odd characters as escapes.
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => {
        ::std::print!("{}", $crate::visible::text(&::std::format!($($arguments)*)))
    };
}

/// `println!`, with odd characters as escapes.
#[macro_export]
macro_rules! println {
    () => { ::std::println!() };
    ($($arguments:tt)*) => {
        ::std::println!("{}", $crate::visible::text(&::std::format!($($arguments)*)))
    };
}

/// `eprintln!`, with odd characters as escapes.
#[macro_export]
macro_rules! eprintln {
    () => { ::std::eprintln!() };
    ($($arguments:tt)*) => {
        ::std::eprintln!("{}", $crate::visible::text(&::std::format!($($arguments)*)))
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_as_an_escape() {
        let odd = "a\u{1b}[31m\u{7}\u{7f}\u{85}\u{202e}\u{2066}\u{200b}\u{fffe}\u{2028}\u{feff}\r\0";
        let seen = "a\\u{1b}[31m\\u{7}\\u{7f}\\u{85}\\u{202e}\\u{2066}\\u{200b}\\u{fffe}\\u{2028}\\u{feff}\\u{d}\\u{0}";
        assert_eq!(text(odd), seen);
        let plain = "a\tb\nÄ × ✓ … “”  \u{1f600} नमस्ते e\u{301}";
        assert!(matches!(text(plain), Cow::Borrowed(same) if same == plain));
    }

    #[test]
    fn a_format_with_escapes_of_its_own_stays_what_it_is() {
        let odd = "x\u{202e}\u{9b}\u{1fffe}y";
        let written = json(&serde_json::to_string(odd).unwrap()).into_owned();
        assert_eq!(written, r#""x\u202e\u009b\ud83f\udffey""#);
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), odd);
        let written = file("objects/a.yaml", "a: \"x\u{202e}\u{1fffe}\"").into_owned();
        assert_eq!(written, r#"a: "x\u202e\U0001fffe""#);
        assert_eq!(file("logs/a.log", "\u{9b}"), "\\u{9b}");
    }

    #[test]
    fn keys_are_texts_as_well() {
        let value = serde_json::json!({"a\u{1b}": ["b\u{7}", {"c": 1}]});
        assert_eq!(of(&value).unwrap(), serde_json::json!({"a\\u{1b}": ["b\\u{7}", {"c": 1}]}));
        let written = pretty(&value).unwrap();
        assert!(!written.chars().any(is_odd), "{written}");
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), value);
    }

    proptest! {
        #[test]
        fn nothing_odd_is_left_and_nothing_else_is_touched(given in any::<String>()) {
            for written in [text(&given), json(&given), yaml(&given)] {
                prop_assert!(!written.chars().any(is_odd));
            }
            let once = text(&given);
            prop_assert_eq!(&text(&once), &once);
            let kept: String = given.chars().filter(|c| !is_odd(*c)).collect();
            if kept == given {
                prop_assert_eq!(once.as_ref(), given.as_str());
            }
        }
    }
}
