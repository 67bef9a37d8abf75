//! Pictures: sources, embeddings, parts of messages, progress, and what goes wrong.

use std::fs;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llama4::{BatchItem, Channels, Context, Convert, Embeddings, Generate, Image, Message, Model, Part, Role, Status, Token};

use super::support::{root, small, tiny, tiny_path, Folder, Json};

fn seeing() -> Model {
    Model::open(root().join("tests/golden/vision/model")).unwrap()
}

fn file(n: u32) -> std::path::PathBuf {
    root().join(format!("tests/golden/vision/image{}.png", n))
}

fn asked(context: &mut Context, parts: Vec<Part<'_>>) -> Vec<Token> {
    let message = Message::from_parts(Role::User, parts);
    let options = Generate::new().max_tokens(6).ignore_stop(true);
    let tokens = context.chat(&[message], options).unwrap();
    tokens.map(|piece| piece.unwrap().token).collect()
}

fn pixels(width: usize, height: usize, channels: usize) -> Vec<u8> {
    (0..width * height * channels).map(|i| (i * 11 % 251) as u8).collect()
}

#[test]
fn llama4_tiny_describes_pictures_as_the_reference_does() {
    let folder = root().join("tests/data/llama4-tiny");
    let reference = Json::parse(&fs::read_to_string(folder.join("reference.json")).unwrap());
    let model = Model::options()
        .vision(root().join("examples/models/llama4-tiny-mmproj.gguf"))
        .open(tiny_path())
        .unwrap();
    let mut context = small(&model);
    let mut count = 0;
    for case in reference
        .get("cases")
        .list()
        .iter()
        .filter(|case| case.get("task").text() == "picture")
    {
        let image = Image::open(folder.join(case.get("image").text())).unwrap();
        let embeddings = context.encode(&image).unwrap();
        context.truncate(0, 0).unwrap();
        let options = Generate::new().embeddings(embeddings.numbers().unwrap()).max_tokens(60);
        let found: Vec<Token> = context
            .generate(&case.get("prompt_ids").ids(), options)
            .unwrap()
            .map(|piece| piece.unwrap().token)
            .collect();
        assert_eq!(found, case.get("greedy_ids").ids());
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn all_sources_of_a_file_are_one() {
    let model = seeing();
    let mut context = small(&model);
    let image = Image::open(file(1)).unwrap();
    let want = asked(&mut context, vec![(&image).into(), "What?".into()]);
    assert_ne!(want, asked(&mut context, vec!["What?".into()]));
    let bytes = fs::read(file(1)).unwrap();
    let copy = Image::from_bytes(&bytes).unwrap();
    assert!(copy != image && image.clone() == image);
    assert_eq!(want, asked(&mut context, vec![copy.into(), String::from("What?").into()]));
    let embeddings = context.encode(&image).unwrap();
    let info = image.info(Some(&model)).unwrap();
    let numbers = embeddings.numbers().unwrap();
    assert_eq!(numbers.len() as i32, info.embeddings * model.info().unwrap().embedding_length);
    let again = Embeddings::new(&model, numbers, info.columns, info.rows).unwrap();
    for part in [Part::from(&embeddings), embeddings.clone().into(), again.into()] {
        assert_eq!(want, asked(&mut context, vec![part, Part::text("What?")]));
    }
    // the library's own loop
    let message = Message::from_parts(Role::User, [image.into(), "What?".into()]);
    let mut ids = Vec::new();
    context
        .chat_with(&[message], Generate::new().max_tokens(6).ignore_stop(true), |token, _| {
            ids.extend(token);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(ids, want);
    // outlived by what was made of it
    drop((context, model));
    assert_eq!(embeddings.info().unwrap().embeddings, info.embeddings);
    assert!(embeddings.numbers().unwrap().iter().all(|x| x.is_finite()));
}

#[test]
fn pixels_of_every_kind() {
    let model = seeing();
    let mut context = small(&model);
    let mut encoded = |image: llama4::Result<Image>| context.encode(&image.unwrap()).unwrap().numbers().unwrap().to_vec();
    let rgb = pixels(90, 60, 3);
    let want = encoded(Image::from_pixels(&rgb, 90, 60, Channels::Rgb));
    let rgba: Vec<u8> = rgb.chunks(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    assert_eq!(want, encoded(Image::from_pixels(&rgba, 90, 60, Channels::Rgba)));
    let padded: Vec<u8> = rgb.chunks(270).flat_map(|row| [row, &[7; 5]].concat()).collect();
    assert_eq!(
        want,
        encoded(Image::options().from_pixels(&padded, 90, 60, 275, Channels::Rgb))
    );
    let grey = pixels(90, 60, 1);
    let three: Vec<u8> = grey.iter().flat_map(|p| [*p; 3]).collect();
    let grey = encoded(Image::from_pixels(&grey, 90, 60, Channels::Grey));
    assert_eq!(grey, encoded(Image::from_pixels(&three, 90, 60, Channels::Rgb)));
    assert_ne!(grey, want);
    let one = Image::options()
        .max_tiles(1)
        .from_pixels(&rgb, 90, 60, 0, Channels::Rgb)
        .unwrap();
    assert_eq!(one.info(Some(&model)).unwrap().tiles, 1);
    let whole = Image::from_pixels(&rgb, 90, 60, Channels::Rgb).unwrap();
    let info = whole.info(Some(&model)).unwrap();
    assert_eq!(
        (info.width, info.height, info.columns, info.rows, info.tiles),
        (90, 60, 2, 2, 5)
    );
    assert_eq!(whole.info(None).unwrap().tokens, 147);
    let tiles = Image::from_tiles(&vec![0.0; 3 * 3 * 56 * 56], 2, 1, 56).unwrap();
    assert_eq!(tiles.info(Some(&model)).unwrap().embeddings, 12);
}

#[test]
fn rows_among_tokens() {
    let model = seeing();
    let mut context = small(&model);
    let embeddings = context.encode(&Image::open(file(0)).unwrap()).unwrap();
    let numbers = embeddings.numbers().unwrap();
    let rows = embeddings.info().unwrap().embeddings as usize;
    let mut items = vec![BatchItem::new(1, 0)];
    items.extend(vec![BatchItem::new(-1, 0); rows]);
    items.push(BatchItem::new(2, 0).with_logits());
    context.decode_embeddings(&items, numbers).unwrap();
    let want = context.logits(rows + 1).unwrap().to_vec();
    let patch = model.vocab().unwrap().find("<|patch|>").unwrap();
    items[1..=rows].fill(BatchItem::new(patch, 1));
    items[0] = BatchItem::new(1, 1);
    items[rows + 1] = BatchItem::new(2, 1).with_logits();
    context.decode_embeddings(&items, numbers).unwrap();
    assert_eq!(context.logits(rows + 1).unwrap(), want);
    let error = context.decode_embeddings(&items, &numbers[1..]).unwrap_err();
    assert_eq!(error.status(), Status::Argument);
}

#[test]
fn frames_of_a_video() {
    let model = seeing();
    let mut context = small(&model);
    let frame = |n| Image::options().max_tiles(1).open(file(n)).unwrap();
    let mut parts = Part::frames([frame(0), frame(1), frame(2)], Duration::from_millis(2500));
    parts.push("What happens?".into());
    let vocab = model.vocab().unwrap();
    let message = [Message::from_parts(Role::User, parts.clone())];
    let ids = vocab.tokenize_chat(&message, Default::default()).unwrap();
    let text = vocab.detokenize(&ids, Default::default()).unwrap();
    assert!(text.contains("[0:02.5] ") && text.contains("[0:05.0] "), "{}", text);
    let patch = vocab.find("<|patch|>").unwrap();
    assert_eq!(
        ids.iter().filter(|id| **id == patch).count() as i32,
        3 * model.info().unwrap().tile_tokens
    );
    let want = asked(&mut context, parts);
    let mut found = Vec::new();
    context
        .chat_with(&message, Generate::new().max_tokens(6).ignore_stop(true), |token, _| {
            found.extend(token);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(found, want);
    let cut = Part::from(Image::open(file(2)).unwrap()).at(Duration::ZERO);
    let error = context
        .chat(&[Message::from_parts(Role::User, [cut])], Generate::new())
        .unwrap_err();
    assert_eq!(error.status(), Status::Argument);
    assert!(error.message().contains("max_tiles(1)"), "{}", error);
}

#[test]
fn progress_and_cancelling() {
    let model = seeing();
    let seen = Arc::new(Mutex::new((Vec::new(), usize::MAX)));
    let shared = seen.clone();
    let mut context = Context::options()
        .threads(2)
        .progress(move |fraction| {
            let mut seen = shared.lock().unwrap();
            seen.0.push(fraction);
            if seen.0.len() == seen.1 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .create(&model)
        .unwrap();
    let take = || std::mem::take(&mut seen.lock().unwrap().0);
    let grows = |f: &[f32]| f.windows(2).all(|w| w[0] <= w[1]) && f.last().map_or(false, |last| (0.99..1.01).contains(last));
    let image = Image::open(file(2)).unwrap();
    context.encode(&image).unwrap();
    let alone = take();
    assert!(grows(&alone) && alone.len() >= 3, "{:?}", alone);
    asked(&mut context, vec![(&image).into(), "and".into(), (&image).into()]);
    let both = take();
    assert!(grows(&both) && both.len() > alone.len() && both[0] < 0.5, "{:?}", both);
    context.append(0, &[1, 2, 3]).unwrap();
    let plain = take();
    assert!(grows(&plain) && plain[0] < 0.6, "{:?}", plain);
    seen.lock().unwrap().1 = 2;
    assert_eq!(context.encode(&image).unwrap_err().status(), Status::Cancelled);
    take();
    let message = Message::from_parts(Role::User, [(&image).into()]);
    assert_eq!(
        context.chat(&[message], Generate::new()).unwrap_err().status(),
        Status::Cancelled
    );
    seen.lock().unwrap().1 = usize::MAX;
    context.cancel_handle().cancel();
    assert_eq!(context.encode(&image).unwrap_err().status(), Status::Cancelled);
    context.encode(&image).unwrap();
}

#[test]
fn what_goes_wrong() {
    assert_eq!(Image::open("/nowhere.png").unwrap_err().status(), Status::Io);
    let bytes = fs::read(file(1)).unwrap();
    assert_eq!(
        Image::from_bytes(&bytes[..bytes.len() - 20]).unwrap_err().status(),
        Status::Format
    );
    assert!(Image::from_bytes(b"no picture").is_err() && Image::from_bytes(b"").is_err());
    assert!(Image::options().max_pixels(10).from_bytes(&bytes).is_err());
    assert!(Image::options().max_bytes(10).from_bytes(&bytes).is_err());
    assert!(Image::options().max_tiles(65).from_bytes(&bytes).is_err());
    for (size, width, height) in [(8, 3, 3), (27, 0, 3), (27, 3, -1), (0, 0, 0)] {
        let error = Image::from_pixels(&pixels(size, 1, 1), width, height, Channels::Rgb).unwrap_err();
        assert_eq!(error.status(), Status::Argument);
    }
    let image = Image::from_bytes(&bytes).unwrap();
    // a model that sees nothing
    let blind = tiny();
    let mut context = small(&blind);
    assert_eq!(context.encode(&image).unwrap_err().status(), Status::State);
    let ask = |part: Part<'static>| [Message::from_parts(Role::User, [part, "What?".into()])];
    assert!(context.chat(&ask(image.clone().into()), Generate::new()).is_err());
    // embeddings of another model
    let model = seeing();
    let mut other = small(&model);
    let embeddings = other.encode(&image).unwrap();
    assert!(context
        .chat_with(&ask(embeddings.into()), Generate::new(), |_, _| ControlFlow::Continue(()))
        .is_err());
    // more pictures than the context holds; what it held stays
    let mut short = Context::options().context_length(64).create(&model).unwrap();
    short.append(0, &[1, 2, 3]).unwrap();
    let many = Message::from_parts(Role::User, (0..8).map(|_| Part::from(&image)));
    assert_eq!(
        short.chat(&[many], Generate::new()).unwrap_err().status(),
        Status::ContextFull
    );
    assert_eq!(short.sequence_length(0), Some(3));
    // text and parts at once
    let mut both = Message::from_parts(Role::User, [Part::text("a")]);
    both.content = "b".into();
    assert_eq!(
        model
            .vocab()
            .unwrap()
            .tokenize_chat(&[both], Default::default())
            .unwrap_err()
            .status(),
        Status::Argument
    );
}

#[test]
fn converted() {
    let folder = Folder::new("pictures");
    let path = folder.0.join("vision.gguf");
    let source = root().join("tests/golden/vision/model");
    Convert::new().vision(true).tensor_type("f32").run(&source, &path).unwrap();
    let model = Model::options().vision(&path).open(&source).unwrap();
    let ask = |model: &Model| asked(&mut small(model), vec![Image::open(file(1)).unwrap().into()]);
    assert_eq!(ask(&model), ask(&seeing()));
}
