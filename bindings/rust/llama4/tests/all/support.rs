//! Where things lie, and a small JSON reader.

use std::path::PathBuf;

use llama4::{Context, Model, Vocab};

pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."))
}

pub fn tiny_path() -> PathBuf {
    root().join("examples/models/llama4-tiny.gguf")
}

pub fn tiny() -> Model {
    Model::open(tiny_path()).unwrap()
}

pub fn tiny_vocab() -> Vocab {
    tiny().vocab().unwrap()
}

/// A context of two threads: enough for tests, and quick to make.
pub fn small(model: &Model) -> Context {
    Context::options().threads(2).context_length(2048).create(model).unwrap()
}

/// Under valgrind everything takes fifty times longer: some tests then do less.
pub fn slow() -> bool {
    std::env::var_os("LLAMA4_SLOW").is_some()
}

pub const QUESTION: &str = "What is 11 + 3?";
pub const ANSWER: &str = "11 + 3 = 14.";

/// A folder of this test alone, gone when it ends.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("llama4-rust-{}-{}", std::process::id(), name));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Reads a JSON file of this project's own making.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
    Other,
}

impl Json {
    pub fn parse(text: &str) -> Json {
        let mut rest = text.trim_start();
        let value = Json::value(&mut rest);
        assert!(rest.trim().is_empty(), "JSON goes on: {:.40}", rest);
        value
    }

    fn value(rest: &mut &str) -> Json {
        match rest.as_bytes()[0] {
            b'"' => Json::Text(Json::string(rest)),
            b'[' => {
                let mut list = Vec::new();
                Json::members(rest, ']', |rest| list.push(Json::value(rest)));
                Json::List(list)
            }
            b'{' => {
                let mut object = Vec::new();
                Json::members(rest, '}', |rest| {
                    let name = Json::string(rest);
                    *rest = rest.trim_start().strip_prefix(':').unwrap().trim_start();
                    object.push((name, Json::value(rest)));
                });
                Json::Object(object)
            }
            _ => {
                let end = rest.find(|c: char| ",]} \n\r\t".contains(c)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                *rest = after;
                word.parse().map_or(Json::Other, Json::Number)
            }
        }
    }

    fn members(rest: &mut &str, close: char, mut member: impl FnMut(&mut &str)) {
        *rest = rest[1..].trim_start();
        while !rest.starts_with(close) {
            member(rest);
            *rest = rest.trim_start();
            *rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        *rest = &rest[1..];
    }

    fn string(rest: &mut &str) -> String {
        let (mut text, mut chars) = (String::new(), rest[1..].char_indices());
        loop {
            match chars.next().unwrap() {
                (i, '"') => {
                    *rest = &rest[i + 2..];
                    return text;
                }
                (_, '\\') => match chars.next().unwrap().1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    'b' => text.push('\u{8}'),
                    'f' => text.push('\u{c}'),
                    'u' => {
                        let mut unit = || (0..4).fold(0, |n, _| n * 16 + chars.next().unwrap().1.to_digit(16).unwrap());
                        let first = unit();
                        let code = if (0xd800..0xdc00).contains(&first) {
                            chars.nth(1); // \u
                            let mut unit = || (0..4).fold(0, |n, _| n * 16 + chars.next().unwrap().1.to_digit(16).unwrap());
                            0x10000 + ((first - 0xd800) << 10) + (unit() - 0xdc00)
                        } else {
                            first
                        };
                        text.push(char::from_u32(code).unwrap());
                    }
                    c => text.push(c),
                },
                (_, c) => text.push(c),
            }
        }
    }

    pub fn get(&self, name: &str) -> &Json {
        match self {
            Json::Object(members) => {
                &members
                    .iter()
                    .find(|m| m.0 == name)
                    .unwrap_or_else(|| panic!("no {}", name))
                    .1
            }
            _ => panic!("no object with {}", name),
        }
    }

    pub fn list(&self) -> &[Json] {
        match self {
            Json::List(list) => list,
            other => panic!("no list: {:?}", other),
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Json::Text(text) => text,
            other => panic!("no text: {:?}", other),
        }
    }

    pub fn number(&self) -> f64 {
        match self {
            Json::Number(number) => *number,
            other => panic!("no number: {:?}", other),
        }
    }

    pub fn ids(&self) -> Vec<i32> {
        self.list().iter().map(|id| id.number() as i32).collect()
    }
}

#[test]
fn json_is_read() {
    let json = Json::parse(r#" {"a": [1, -2.5e1, "x\n\"\u00e9\ud83d\ude00"], "b": {}, "c": null} "#);
    assert_eq!(json.get("a").list()[1].number(), -25.0);
    assert_eq!(json.get("a").list()[2].text(), "x\n\"é😀");
    assert_eq!(*json.get("b"), Json::Object(vec![]));
    assert_eq!(*json.get("c"), Json::Other);
}
