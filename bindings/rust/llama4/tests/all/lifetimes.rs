//! Handles dropped in every order, and used from many threads.

use std::thread;

use llama4::{CancelHandle, Context, Detokenizer, Generate, Message, Model, Sampler, TokenizeFlags, Vocab};

use super::support::{slow, small, tiny, tiny_path, ANSWER, QUESTION};

enum Handle {
    Model(Model),
    Vocab(Vocab),
    Context(Context),
    Sampler(Sampler),
    Detokenizer(Detokenizer),
    Cancel(CancelHandle),
}

/// What is left must work, whatever is gone.
fn works(handle: &mut Handle) {
    match handle {
        Handle::Model(model) => assert!(model.info().unwrap().layers > 0),
        Handle::Vocab(vocab) => assert_eq!(
            vocab.tokenize("abc", TokenizeFlags::BOS).unwrap()[0],
            vocab.find("<|begin_of_text|>").unwrap()
        ),
        Handle::Context(context) => context
            .append(0, &[1])
            .map(|logits| assert!(logits[0].is_finite()))
            .or_else(|e| {
                if e.status() == llama4::Status::Cancelled {
                    Ok(())
                } else {
                    Err(e)
                }
            })
            .unwrap(),
        Handle::Sampler(sampler) => assert_eq!(sampler.sample(&[0.0, 50.0]).unwrap(), 1),
        Handle::Detokenizer(detokenizer) => assert!(detokenizer.push(100).is_ok()),
        Handle::Cancel(cancel) => {
            cancel.cancel();
        }
    }
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let shorter = permutations(n - 1);
    shorter
        .iter()
        .flat_map(|p| (0..n).map(move |i| [&p[..i], &[n - 1], &p[i..]].concat()))
        .collect()
}

#[test]
fn every_order_of_dropping() {
    let orders = permutations(6);
    assert_eq!(orders.len(), 720);
    for order in orders.iter().step_by(if slow() { 47 } else { 7 }) {
        let model = Model::from_bytes(bytes()).unwrap();
        let vocab = model.vocab().unwrap();
        let context = Context::options().threads(1).sequences(1).create(&model).unwrap();
        let cancel = context.cancel_handle();
        let sampler = Sampler::builder().temperature(1.0).build(&model).unwrap();
        let detokenizer = Detokenizer::new(&vocab, Default::default()).unwrap();
        let mut handles = [
            Some(Handle::Model(model)),
            Some(Handle::Vocab(vocab)),
            Some(Handle::Context(context)),
            Some(Handle::Sampler(sampler)),
            Some(Handle::Detokenizer(detokenizer)),
            Some(Handle::Cancel(cancel)),
        ];
        for i in order {
            handles[*i] = None;
            handles.iter_mut().flatten().for_each(works);
        }
    }
}

/// Read once: 720 orders would read it 720 times.
fn bytes() -> std::sync::Arc<[u8]> {
    use std::sync::{Arc, Mutex};
    static BYTES: Mutex<Option<Arc<[u8]>>> = Mutex::new(None);
    BYTES
        .lock()
        .unwrap()
        .get_or_insert_with(|| std::fs::read(tiny_path()).unwrap().into())
        .clone()
}

#[test]
fn one_model_in_many_threads() {
    let model = tiny();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let model = model.clone();
            thread::spawn(move || {
                let mut context = Context::options().threads(1).create(&model).unwrap();
                let vocab = model.vocab().unwrap();
                assert_eq!(
                    vocab.tokenize("abc", TokenizeFlags::empty()).unwrap(),
                    vocab.clone().tokenize("abc", TokenizeFlags::empty()).unwrap()
                );
                context
                    .chat(&[Message::user(QUESTION)], Generate::new())
                    .unwrap()
                    .map(|p| p.unwrap().text)
                    .collect::<String>()
            })
        })
        .collect();
    drop(model);
    for worker in workers {
        assert_eq!(worker.join().unwrap(), ANSWER);
    }
    // shared by reference, too
    let model = tiny();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert!(model.info().unwrap().layers > 0));
        }
    });
}

#[test]
fn contexts_move_between_threads() {
    let model = tiny();
    let mut context = small(&model);
    context.append(0, &[1, 2]).unwrap();
    let mut context = thread::spawn(move || {
        context.append(0, &[3]).unwrap();
        context
    })
    .join()
    .unwrap();
    let moved = context.append(0, &[4]).unwrap().to_vec();
    assert_eq!(small(&model).append(0, &[1, 2, 3, 4]).unwrap(), moved);
}

#[test]
fn logits_live_as_long_as_nothing_changes() {
    let model = tiny();
    let mut context = small(&model);
    context.append(0, &[1, 2, 3]).unwrap();
    let cancel = context.cancel_handle();
    let logits = context.logits(2).unwrap();
    let before = logits.to_vec();
    assert_eq!(context.sequence_length(0), Some(3));
    assert!(context.info().unwrap().kv_bytes > 0);
    cancel.cancel();
    assert_eq!(logits, before);
}
