//! The library's status and message arrive.

use std::fs;

use llama4::{Context, Convert, Error, Generate, Message, Model, Status, Vocab};

use super::support::{root, tiny, tiny_path, Folder};

#[test]
fn files_that_are_not_there_or_not_right() {
    let missing = Model::open("nowhere/model.gguf").unwrap_err();
    assert_eq!(missing.status(), Status::Io);
    assert!(missing.message().contains("nowhere/model.gguf"), "{}", missing);
    assert_eq!(format!("{:?}", missing), format!("Io: {}", missing));
    assert!(Vocab::open("nowhere.json").unwrap_err().message().contains("nowhere.json"));
    assert_eq!(Model::open("").unwrap_err().status(), Status::Argument);
    assert_eq!(Model::open("a\0b").unwrap_err().status(), Status::Argument);
    assert_eq!(Model::open(root().join("README.md")).unwrap_err().status(), Status::Format);
    let bytes = fs::read(tiny_path()).unwrap();
    assert_eq!(
        Model::from_bytes(bytes[..5000].to_vec()).unwrap_err().status(),
        Status::Format
    );
    assert_eq!(Model::from_bytes(&b""[..]).unwrap_err().status(), Status::Format);
    let vocabulary = Model::options().vocabulary("nowhere.json").open(tiny_path()).unwrap_err();
    assert!(vocabulary.message().contains("nowhere.json"), "{}", vocabulary);
}

#[cfg(unix)]
#[test]
fn paths_of_any_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new("bytes");
    for name in [&b"na\xc3\xafve \xe6\x97\xa5.gguf"[..], b"not utf-8 \xff.gguf"] {
        let path = folder.0.join(std::ffi::OsStr::from_bytes(name));
        let error = Model::open(&path).unwrap_err(); // whatever it says, it says it in valid UTF-8
        assert_eq!(error.status(), Status::Io);
        std::os::unix::fs::symlink(tiny_path().canonicalize().unwrap(), &path).unwrap();
        assert!(Model::open(&path).unwrap().vocab().is_some());
    }
}

#[test]
fn options_out_of_range() {
    let model = tiny();
    let status = |o: llama4::ContextOptions| o.create(&model).unwrap_err().status();
    assert_eq!(status(Context::options().threads(65)), Status::Argument);
    assert_eq!(status(Context::options().batch_size(-1)), Status::Argument);
    assert_eq!(status(Context::options().context_length(1 << 40)), Status::Argument);
    let error = Context::options().sequences(-1).create(&model).unwrap_err();
    assert!(error.message().contains("sequences"), "{}", error);
    let mut context = Context::options().threads(1).sequences(1).create(&model).unwrap();
    assert_eq!(context.generate(&[], Generate::new()).unwrap_err().status(), Status::Argument);
    assert_eq!(
        context.generate(&[1], Generate::new().sequence(1)).unwrap_err().status(),
        Status::Argument
    );
    assert_eq!(
        context
            .chat(&[Message::user("x")], Generate::new().sequence(1))
            .unwrap_err()
            .status(),
        Status::Argument
    );
    let go_on = |_, _: &str| std::ops::ControlFlow::Continue(());
    assert_eq!(
        context.generate_with(&[], Generate::new(), go_on).unwrap_err().status(),
        Status::Argument
    );
    assert!(context
        .chat_with(&[Message::user("x").with_tool_call("f", "{}")], Generate::new(), go_on)
        .is_err());
}

#[test]
fn a_model_without_a_vocabulary() {
    let folder = root().join("tests/golden/gguf/scout_long.gguf");
    let model = Model::open(folder).unwrap();
    assert!(model.vocab().is_none());
    let mut context = Context::options().threads(1).create(&model).unwrap();
    assert_eq!(
        context.chat(&[Message::user("x")], Generate::new()).unwrap_err().status(),
        Status::NoVocabulary
    );
    let pieces: Vec<_> = context
        .generate(&[1, 2], Generate::new().max_tokens(5))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(pieces.len(), 5);
    assert!(pieces.iter().all(|piece| piece.text.is_empty()));
}

#[test]
fn names_and_numbers() {
    let error: Box<dyn std::error::Error + Send + Sync> = Model::open("nowhere").unwrap_err().into();
    let error = error.downcast::<Error>().unwrap();
    assert_eq!(error.status().code(), -3);
    assert_eq!(error.clone(), error);
    assert!(!Status::Memory.to_string().is_empty() && Status::Memory.to_string() != Status::Io.to_string());
    assert_eq!(Status::Other(-77).to_string(), Status::Other(-78).to_string());
    assert_eq!(Status::Other(-77).code(), -77);
}

#[test]
fn converting() {
    let folder = Folder::new("convert");
    let out = folder.0.join("out.gguf");
    let from = root().join("tests/golden/scout/model");
    let mut steps = Vec::new();
    let convert = Convert::new().tensor_type("q8_0").progress(|f| {
        steps.push(f);
        std::ops::ControlFlow::Continue(())
    });
    convert.run(&from, &out).unwrap();
    assert!(
        steps.len() > 1 && steps.windows(2).all(|w| w[0] <= w[1]) && *steps.last().unwrap() <= 1.0,
        "{:?}",
        steps
    );
    let info = Model::open(&out).unwrap().info().unwrap();
    assert_eq!((info.tensor_type.as_str(), info.has_vocabulary), ("Q8_0", true));
    let cancelled = Convert::new()
        .progress(|_| std::ops::ControlFlow::Break(()))
        .run(&from, folder.0.join("no.gguf"))
        .unwrap_err();
    assert_eq!(cancelled.status(), Status::Cancelled);
    assert!(!folder.0.join("no.gguf").exists());
    assert_eq!(
        Convert::new()
            .tensor_type("q4_0")
            .imatrix("absent.dat")
            .run(&from, &out)
            .unwrap_err()
            .status(),
        Status::Io
    );
    assert_eq!(
        Convert::new().imatrix(&from).run(&from, &out).unwrap_err().status(),
        Status::Argument
    );
    assert_eq!(
        Convert::new().tensor_type("q9_9").run(&from, &out).unwrap_err().status(),
        Status::Argument
    );
    assert_eq!(
        Convert::new().tensor_type("a\0").run(&from, &out).unwrap_err().status(),
        Status::Argument
    );
}
