//! Closures that stop, closures that panic, allocators, models in memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow::{self, Break, Continue};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use llama4::{Context, Convert, Detokenizer, Generate, LogLevel, Message, Model, Sampler, Status, Vocab};

use super::support::{root, slow, small, tiny, tiny_path, Folder, ANSWER, QUESTION};

/// The text that a closure panicked with.
fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("no panic arrived"),
        Err(payload) => payload
            .downcast_ref::<&str>()
            .map(|s| s.to_string())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap(),
    }
}

#[test]
fn opening_can_be_watched_and_stopped() {
    let mut seen = Vec::new();
    let watch = |f: f32| {
        seen.push(f);
        Continue(())
    };
    Model::options().progress(watch).open(tiny_path()).unwrap();
    assert!(!seen.is_empty() && seen.windows(2).all(|w| w[0] <= w[1]), "{:?}", seen);
    let stopped = Model::options().progress(|_| Break(())).open(tiny_path()).unwrap_err();
    assert_eq!(stopped.status(), Status::Cancelled);
}

#[test]
fn decoding_can_be_watched_and_stopped() {
    let model = tiny();
    let calls = Arc::new(AtomicUsize::new(0));
    let stop_at = Arc::new(AtomicUsize::new(usize::MAX));
    let (count, limit) = (calls.clone(), stop_at.clone());
    let progress = move |f: f32| {
        assert!((0.0..=1.0).contains(&f));
        if count.fetch_add(1, SeqCst) + 1 >= limit.load(SeqCst) {
            Break(())
        } else {
            Continue(())
        }
    };
    let mut context = Context::options().threads(2).progress(progress).create(&model).unwrap();
    context.append(0, &[1, 2, 3]).unwrap();
    let whole = calls.swap(0, SeqCst);
    assert_eq!(whole, model.info().unwrap().layers as usize);
    context.append(0, &[4]).unwrap();
    assert_eq!(calls.load(SeqCst), 0, "a single token is not reported");
    stop_at.store(2, SeqCst);
    assert_eq!(context.append(0, &[5, 6]).unwrap_err().status(), Status::Cancelled);
    assert_eq!((calls.load(SeqCst), context.sequence_length(0)), (2, Some(4)));
}

#[test]
fn panics_in_progress() {
    let text = panic_of(|| Model::options().progress(|_| panic!("while opening")).open(tiny_path()));
    assert_eq!(text, "while opening");
    let folder = Folder::new("panic");
    let out = folder.0.join("out.gguf");
    let text = panic_of(|| Convert::new().progress(|_| panic!("while converting")).run(tiny_path(), &out));
    assert_eq!(text, "while converting");
    assert!(!out.exists());
    let model = tiny();
    let armed = Arc::new(AtomicUsize::new(1));
    let arm = armed.clone();
    let progress = move |_| {
        if arm.load(SeqCst) > 0 {
            panic!("in layer {}", 1);
        }
        Continue(())
    };
    let mut context = Context::options().threads(2).progress(progress).create(&model).unwrap();
    assert_eq!(panic_of(|| context.append(0, &[1, 2, 3]).map(|_| ())), "in layer 1");
    assert_eq!(context.sequence_length(0), Some(0), "the decode was not undone");
    assert_eq!(
        panic_of(|| context.chat(&[Message::user(QUESTION)], Generate::new()).unwrap().count()),
        "in layer 1"
    );
    assert_eq!(
        panic_of(|| context.chat_with(&[Message::user(QUESTION)], Generate::new(), |_, _| Continue(()))),
        "in layer 1"
    );
    armed.store(0, SeqCst);
    let text: String = context
        .chat(&[Message::user(QUESTION)], Generate::new())
        .unwrap()
        .map(|p| p.unwrap().text)
        .collect();
    assert_eq!(text, ANSWER, "the context is of no use after a panic");
}

#[test]
fn panics_in_text() {
    let model = tiny();
    let mut context = small(&model);
    let mut n = 0;
    let text = panic_of(|| {
        context.chat_with(&[Message::user(QUESTION)], Generate::new(), |_, _| -> ControlFlow<()> {
            n += 1;
            if n == 3 {
                panic!("third token");
            }
            Continue(())
        })
    });
    assert_eq!((text.as_str(), n), ("third token", 3));
    let mut text = String::new();
    let again = context.chat_with(&[Message::user(QUESTION)], Generate::new(), |_, piece| {
        text.push_str(piece);
        Continue(())
    });
    assert!(again.is_ok());
    assert_eq!(text, ANSWER);
}

#[test]
fn closures_may_use_the_library() {
    let model = tiny();
    let mut outer = small(&model);
    let mut inner = small(&model);
    let mut answers = 0;
    let caught = panic_of(|| {
        outer.chat_with(&[Message::user(QUESTION)], Generate::new(), |_, _| {
            let text: String = inner
                .chat(&[Message::user(QUESTION)], Generate::new())
                .unwrap()
                .map(|p| p.unwrap().text)
                .collect();
            assert_eq!(text, ANSWER);
            answers += 1;
            if answers == 2 {
                // a panic inside a call inside a closure
                let _ = inner.chat_with(&[Message::user(QUESTION)], Generate::new(), |_, _| panic!("deep inside"));
            }
            Continue(())
        })
    });
    assert_eq!((caught.as_str(), answers), ("deep inside", 2));
}

/// A tokenizer.json that the library has something to say about.
fn with_normalizer(folder: &Folder) -> std::path::PathBuf {
    let json = std::fs::read_to_string(root().join("tests/golden/scout/model/tokenizer.json")).unwrap();
    let at = json.find('{').unwrap() + 1;
    let path = folder.0.join("tokenizer.json");
    std::fs::write(
        &path,
        format!(
            "{}\"normalizer\": {{\"type\": \"NFC\"}}, {}",
            &json[..at],
            json[at..].replace("\"normalizer\"", "\"other\"")
        ),
    )
    .unwrap();
    path
}

#[test]
fn lines_of_the_log() {
    let folder = Folder::new("log");
    let path = with_normalizer(&folder);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = lines.clone();
    let log = move |level, line: &str| sink.lock().unwrap().push((level, line.to_owned()));
    let vocab = Model::options().log(log).open_vocab(&path).unwrap();
    assert!(vocab.find("<|eot|>").is_some());
    let lines = lines.lock().unwrap();
    assert!(
        lines
            .iter()
            .any(|(level, line)| *level == LogLevel::Warning && line.contains("normalizer")),
        "{:?}",
        lines
    );
}

#[test]
fn panics_in_the_log() {
    let folder = Folder::new("log-panic");
    let path = with_normalizer(&folder);
    assert_eq!(
        panic_of(|| Model::options().log(|_, _| panic!("cannot write")).open_vocab(&path)),
        "cannot write"
    );
    // and nothing of it is left
    assert!(Vocab::open(&path).is_ok());
}

/// Counts blocks and bytes; refuses after a while.
struct Counting {
    blocks: Arc<AtomicI64>,
    left: AtomicI64,
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.left.fetch_sub(1, SeqCst) <= 0 {
            return std::ptr::null_mut();
        }
        self.blocks.fetch_add(1, SeqCst);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.blocks.fetch_sub(1, SeqCst);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

#[test]
fn memory_of_the_hosts() {
    let blocks = Arc::new(AtomicI64::new(0));
    let counting = |left| Counting {
        blocks: blocks.clone(),
        left: AtomicI64::new(left),
    };
    let model = Model::options().allocator(counting(i64::MAX)).open(tiny_path()).unwrap();
    let vocab = model.vocab().unwrap();
    let mut context = small(&model);
    let sampler = Sampler::builder().temperature(1.0).build(&model).unwrap();
    let detokenizer = Detokenizer::new(&vocab, Default::default()).unwrap();
    assert!(blocks.load(SeqCst) > 10);
    assert_eq!(
        context
            .chat(&[Message::user(QUESTION)], Generate::new())
            .unwrap()
            .map(|p| p.unwrap().text)
            .collect::<String>(),
        ANSWER
    );
    drop(model);
    drop((vocab, context, detokenizer));
    assert!(blocks.load(SeqCst) > 0);
    drop(sampler);
    assert_eq!(blocks.load(SeqCst), 0, "blocks were not given back");
    // every allocation of opening and answering fails once
    let mut failures = 0;
    for n in (0..).step_by(if slow() { 9 } else { 1 }) {
        let answer = Model::options().allocator(counting(n)).open(tiny_path()).and_then(|model| {
            let mut context = Context::options().threads(1).create(&model)?;
            let text: llama4::Result<String> = context
                .chat(&[Message::user(QUESTION)], Generate::new())?
                .map(|p| p.map(|p| p.text))
                .collect();
            text
        });
        assert_eq!(blocks.load(SeqCst), 0, "blocks were not given back after failure {}", n);
        match answer {
            Ok(text) => {
                assert_eq!(text, ANSWER);
                break;
            }
            Err(error) => assert_eq!(error.status(), Status::Memory, "{}", error),
        }
        failures += 1;
    }
    assert!(failures > if slow() { 3 } else { 20 }, "only {}", failures);
}

/// Says when it is dropped.
struct Watched(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Watched {
    fn as_ref(&self) -> &[u8] {
        &self.0[1..] // at an odd address
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.fill(0xff);
        self.1.fetch_add(1, SeqCst);
    }
}

#[test]
fn models_in_memory() {
    let mut bytes = std::fs::read(tiny_path()).unwrap();
    let shared: Arc<[u8]> = bytes.clone().into();
    assert!(Model::from_bytes(shared).unwrap().vocab().is_some());
    bytes.insert(0, 0);
    let gone = Arc::new(AtomicUsize::new(0));
    let model = Model::from_bytes(Watched(bytes, gone.clone())).unwrap();
    let mut context = small(&model);
    drop(model);
    let text: String = context
        .chat(&[Message::user(QUESTION)], Generate::new())
        .unwrap()
        .map(|p| p.unwrap().text)
        .collect();
    assert_eq!(text, ANSWER);
    let vocab = context.model().vocab().unwrap();
    drop(context);
    assert_eq!(gone.load(SeqCst), 0);
    assert!(vocab.find("<|eot|>").is_some());
    drop(vocab);
    assert_eq!(gone.load(SeqCst), 1);
}

#[cfg(unix)]
#[test]
fn models_from_open_files() {
    let file = std::fs::File::open(tiny_path()).unwrap();
    let model = Model::options().open_file(&file).unwrap();
    drop(file);
    let mut context = small(&model);
    let text: String = context
        .chat(&[Message::user(QUESTION)], Generate::new())
        .unwrap()
        .map(|p| p.unwrap().text)
        .collect();
    assert_eq!(text, ANSWER);
}
