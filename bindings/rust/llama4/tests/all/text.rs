//! Text to tokens and back, in every script.

use llama4::{ChatFlags, DetokenizeFlags, Detokenizer, Message, Role, Status, TokenFlags, TokenizeFlags, Vocab};

use super::support::{root, tiny_vocab};

const TEXTS: [&str; 9] = [
    "",
    "a",
    "The quick brown fox",
    "naïve café, Straße, ÿ",
    "日本語のテキスト。한국어 텍스트",
    "👩🏽‍🚀 e\u{301} \u{202e}abc\u{202c} 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "\0 NUL \0\0 inside",
    "<|eot|> is text here",
    " \t\r\n   spaces \u{a0}\u{3000}  ",
];

#[test]
fn text_survives_the_way_there_and_back() {
    let vocab = tiny_vocab();
    for text in TEXTS {
        let tokens = vocab.tokenize(text, TokenizeFlags::empty()).unwrap();
        assert!(tokens.iter().all(|t| vocab.flags(*t) == TokenFlags::empty()), "{:?}", text);
        assert_eq!(vocab.detokenize(&tokens, DetokenizeFlags::empty()).unwrap(), text);
        assert_eq!(
            vocab.detokenize_bytes(&tokens, DetokenizeFlags::SPECIAL).unwrap(),
            text.as_bytes()
        );
        let mut detokenizer = Detokenizer::new(&vocab, DetokenizeFlags::empty()).unwrap();
        let mut joined = String::new();
        for token in &tokens {
            joined.push_str(detokenizer.push(*token).unwrap());
        }
        joined.push_str(detokenizer.finish().unwrap());
        assert_eq!(joined, text);
    }
}

#[test]
fn long_texts_need_no_guess() {
    let vocab = tiny_vocab();
    let text = "x1 ".repeat(5000) + &"日".repeat(3000);
    let tokens = vocab.tokenize(&text, TokenizeFlags::BOS).unwrap();
    assert!(tokens.len() > 3000);
    assert_eq!(vocab.detokenize(&tokens, DetokenizeFlags::empty()).unwrap(), text);
}

#[test]
fn special_tokens_are_asked_for() {
    let vocab = tiny_vocab();
    let eot = vocab.find("<|eot|>").unwrap();
    assert_eq!(vocab.flags(eot), TokenFlags::SPECIAL | TokenFlags::STOP);
    assert!(vocab.flags(eot).contains(TokenFlags::STOP) && !vocab.flags(eot).contains(TokenFlags::UNUSED));
    assert_eq!(vocab.bytes(eot).unwrap(), b"<|eot|>");
    let both = TokenizeFlags::BOS | TokenizeFlags::SPECIAL;
    let tokens = vocab.tokenize("a<|eot|>", both).unwrap();
    assert_eq!(
        (tokens[0], tokens[tokens.len() - 1]),
        (vocab.find("<|begin_of_text|>").unwrap(), eot)
    );
    assert_eq!(vocab.detokenize(&tokens, DetokenizeFlags::empty()).unwrap(), "a");
    assert_eq!(
        vocab.detokenize(&tokens, DetokenizeFlags::SPECIAL).unwrap(),
        "<|begin_of_text|>a<|eot|>"
    );
    assert_eq!(vocab.find("no such token"), None);
    assert_eq!(vocab.find(""), None);
    assert_eq!(vocab.flags(-1), TokenFlags::empty());
    assert_eq!(vocab.bytes(-1).unwrap_err().status(), Status::Argument);
    assert_eq!(vocab.bytes(vocab.len() as i32).unwrap_err().status(), Status::Argument);
}

#[test]
fn broken_code_points_come_out_as_replacement() {
    let vocab = tiny_vocab();
    let byte = |b: u8| vocab.find([b]).unwrap();
    let mut detokenizer = Detokenizer::new(&vocab, DetokenizeFlags::empty()).unwrap();
    assert_eq!(detokenizer.push(byte(0xe6)).unwrap(), "");
    assert_eq!(detokenizer.push(byte(0x97)).unwrap(), "");
    assert_eq!(detokenizer.push(byte(0xa5)).unwrap(), "日");
    assert_eq!(detokenizer.push(byte(0xf0)).unwrap(), "");
    assert_eq!(detokenizer.finish().unwrap(), "\u{fffd}");
    assert_eq!(detokenizer.push(byte(b'a')).unwrap(), "a");
    assert_eq!(detokenizer.push(-5).unwrap_err().status(), Status::Argument);
    assert_eq!(vocab.detokenize(&[byte(0xff)], DetokenizeFlags::empty()).unwrap(), "\u{fffd}");
    assert_eq!(
        vocab.detokenize_bytes(&[byte(0xff)], DetokenizeFlags::empty()).unwrap(),
        [0xff]
    );
}

#[test]
fn vocabularies_alone() {
    let model = tiny_vocab();
    let alone = Vocab::open(root().join("examples/models/llama4-tiny.gguf")).unwrap();
    assert_eq!((alone.len(), alone.is_empty()), (model.len(), false));
    for text in TEXTS {
        assert_eq!(
            alone.tokenize(text, TokenizeFlags::BOS),
            model.tokenize(text, TokenizeFlags::BOS)
        );
    }
    let json = Vocab::open(root().join("tests/golden/scout/model")).unwrap();
    assert!(json.find("<|eot|>").is_some());
}

#[test]
fn conversations() {
    let vocab = tiny_vocab();
    let show = |messages: &[Message<'_>], flags| {
        let tokens = vocab.tokenize_chat(messages, flags).unwrap();
        vocab.detokenize(&tokens, DetokenizeFlags::SPECIAL).unwrap()
    };
    let header = |role: &str| format!("<|header_start|>{}<|header_end|>\n\n", role);
    assert_eq!(
        show(&[Message::system("Be brief."), Message::user("Hi")], ChatFlags::empty()),
        format!(
            "<|begin_of_text|>{}Be brief.<|eot|>{}Hi<|eot|>{}",
            header("system"),
            header("user"),
            header("assistant")
        )
    );
    let bare = ChatFlags::NO_BOS | ChatFlags::NO_HEADER;
    assert_eq!(
        show(&[Message::assistant("a").unfinished()], bare),
        header("assistant") + "a<|eom|>"
    );
    assert_eq!(show(&[Message::new(Role::User, "")], bare), header("user") + "<|eot|>");
    let borrowed = String::from("<|eot|> é 日\0");
    let tokens = vocab.tokenize_chat(&[Message::user(&borrowed)], bare).unwrap();
    assert_eq!(
        tokens.iter().filter(|t| vocab.flags(**t).contains(TokenFlags::STOP)).count(),
        1,
        "content gave a special token"
    );
    assert!(vocab
        .detokenize(&tokens, DetokenizeFlags::empty())
        .unwrap()
        .ends_with(borrowed.trim()));
    let call = Message::assistant("")
        .with_tool_call("get_time", r#"{"city":"Oslo"}"#)
        .with_tool_call("f", "{}");
    let text = show(&[call, Message::tool("12:00")], bare);
    assert!(
        text.contains("get_time") && text.contains("Oslo") && text.matches("<|eom|>").count() == 2,
        "{}",
        text
    );
}

#[test]
fn conversations_that_are_wrong() {
    let vocab = tiny_vocab();
    let status = |message: Message<'_>| vocab.tokenize_chat(&[message], ChatFlags::empty()).unwrap_err().status();
    assert_eq!(status(Message::assistant("").with_tool_call("a\0b", "{}")), Status::Argument);
    assert!(vocab
        .tokenize_chat(&[Message::assistant("").with_tool_call("f", "{")], ChatFlags::empty())
        .is_err());
    assert!(vocab
        .tokenize_chat(&[Message::user("").with_tool_call("f", "{}")], ChatFlags::empty())
        .is_err());
}
