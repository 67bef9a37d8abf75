//! Cancelling from other threads, before, during and after a context's life.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use llama4::{Context, Generate, Status};

use super::support::{slow, small, tiny};

#[test]
fn a_running_generation() {
    let model = tiny();
    let mut context = small(&model);
    let cancel = context.cancel_handle();
    let canceller = thread::spawn(move || {
        thread::sleep(Duration::from_millis(60));
        let at = Instant::now();
        assert!(cancel.cancel());
        at
    });
    let mut last = None;
    for piece in context.generate(&[1], Generate::new().ignore_stop(true)).unwrap() {
        last = Some(piece);
        if matches!(last, Some(Err(_))) {
            break;
        }
    }
    let done = Instant::now();
    let at = canceller.join().unwrap();
    if !slow() {
        assert!(done - at < Duration::from_secs(10), "it took {:?}", done - at);
        // an idle machine needs milliseconds
    }
    assert_eq!(last.unwrap().unwrap_err().status(), Status::Cancelled);
    // and it goes on
    assert!(context.append(0, &[2]).is_ok());
}

#[test]
fn a_running_decode() {
    let model = tiny();
    let mut context = small(&model);
    let prompt: Vec<i32> = (0..1500).map(|i| i % 2000).collect();
    let cancel = context.cancel_handle();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let canceller = thread::spawn(move || {
        while !stopped.load(SeqCst) {
            cancel.cancel();
            thread::sleep(Duration::from_millis(1));
        }
    });
    let error = context.append(0, &prompt).map(|_| ()).unwrap_err();
    stop.store(true, SeqCst);
    canceller.join().unwrap();
    assert_eq!((error.status(), context.sequence_length(0)), (Status::Cancelled, Some(0)));
}

#[test]
fn the_next_decode() {
    let model = tiny();
    let mut context = small(&model);
    let cancel = context.cancel_handle();
    cancel.clone().cancel();
    assert_eq!(context.append(0, &[1]).unwrap_err().status(), Status::Cancelled);
    assert!(context.append(0, &[1]).is_ok(), "once is enough");
}

#[test]
fn a_context_that_is_gone() {
    let model = tiny();
    let context = small(&model);
    let cancel = context.cancel_handle();
    assert!(format!("{:?}", cancel).contains("true"));
    drop((context, model));
    assert!(!cancel.cancel());
    assert!(!cancel.clone().cancel());
    assert!(format!("{:?}", cancel).contains("false"));
}

/// Contexts that go while others cancel them.
#[test]
fn a_context_that_goes() {
    let model = tiny();
    for _ in 0..60 {
        let context = Context::options().threads(1).sequences(1).create(&model).unwrap();
        let cancellers: Vec<_> = (0..3)
            .map(|_| {
                let cancel = context.cancel_handle();
                thread::spawn(move || {
                    let mut times = 0;
                    while cancel.cancel() {
                        times += 1;
                    }
                    times
                })
            })
            .collect();
        thread::yield_now();
        drop(context);
        for canceller in cancellers {
            canceller.join().unwrap();
        }
    }
}
