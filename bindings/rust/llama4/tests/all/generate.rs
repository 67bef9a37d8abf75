//! The iterator, the library's loop and the `llama4` program give the same tokens and text.

use std::ops::ControlFlow;
use std::process::Command;

use llama4::{ChatFlags, Context, Generate, Message, Sampler, Status, Stopped, Token, TokenizeFlags, Vocab};

use super::support::{root, slow, small, tiny, tiny_path, Folder, Json, ANSWER, QUESTION};

/// What came out of a run.
type Run = (Vec<Token>, String, Option<Stopped>);

fn collect(context: &mut Context, prompt: &[Token], options: Generate<'_>) -> Run {
    let (mut ids, mut text) = (Vec::new(), String::new());
    let mut tokens = context.generate(prompt, options).unwrap();
    for piece in &mut tokens {
        let piece = piece.unwrap();
        ids.push(piece.token);
        text.push_str(&piece.text);
    }
    (ids, text, tokens.stopped())
}

fn with_closure(context: &mut Context, prompt: &[Token], options: Generate<'_>) -> Run {
    let (mut ids, mut text) = (Vec::new(), String::new());
    let result = context
        .generate_with(prompt, options, |token, piece| {
            ids.extend(token);
            text.push_str(piece);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(result.prompt_tokens, prompt.len() as i64);
    assert_eq!(result.generated_tokens, ids.len() as i64);
    assert_eq!(result.last_token, ids.last().copied());
    assert!(result.prompt_time.as_nanos() > 0);
    (ids, text, Some(result.stopped))
}

fn question(vocab: &Vocab, text: &str) -> Vec<Token> {
    vocab.tokenize_chat(&[Message::user(text)], ChatFlags::empty()).unwrap()
}

#[test]
fn a_chat() {
    let model = tiny();
    let mut context = small(&model);
    let mut tokens = context.chat(&[Message::user(QUESTION)], Generate::new()).unwrap();
    let text: String = tokens.by_ref().map(|piece| piece.unwrap().to_string()).collect();
    assert_eq!((text.as_str(), tokens.stopped()), (ANSWER, Some(Stopped::Token)));
    assert!(tokens.next().is_none());
    let mut text = String::new();
    let messages = [Message::user(QUESTION), Message::assistant(ANSWER), Message::user(QUESTION)];
    let result = context.chat_with(&messages, Generate::new().sequence(3), |_, piece| {
        text.push_str(piece);
        ControlFlow::Continue(())
    });
    assert_eq!((text.as_str(), result.unwrap().stopped), (ANSWER, Stopped::Token));
    assert!(context.sequence_length(3).unwrap() > context.sequence_length(0).unwrap());
}

#[test]
fn iterator_and_library_agree() {
    let model = tiny();
    let vocab = model.vocab().unwrap();
    let prompts = [
        question(&vocab, QUESTION),
        vocab.tokenize("The with statement", TokenizeFlags::BOS).unwrap(),
        vocab.tokenize("日本語 é", TokenizeFlags::empty()).unwrap(),
    ];
    for prompt in &prompts {
        for seed in 0..if slow() { 1 } else { 4 } {
            for (max, special, stop) in [(0, false, false), (30, true, true), (1, false, true), (60, false, true)] {
                let chain = Sampler::builder()
                    .temperature(1.5)
                    .top_k(40)
                    .top_p(0.95)
                    .min_p(0.01)
                    .seed(seed);
                let run = |f: fn(&mut Context, &[Token], Generate<'_>) -> Run| -> Run {
                    let mut sampler = chain.build(&model).unwrap();
                    let mut context = Context::options().threads(2).context_length(80).create(&model).unwrap();
                    let options = Generate::new()
                        .sampler(&mut sampler)
                        .max_tokens(max)
                        .special_text(special)
                        .ignore_stop(stop)
                        .sequence(1);
                    let result = f(&mut context, prompt, options);
                    assert_eq!(context.sequence_length(1), Some((prompt.len() + result.0.len() - 1) as i64));
                    result
                };
                assert_eq!(run(collect), run(with_closure));
            }
        }
    }
}

#[test]
fn every_reason_to_stop() {
    let model = tiny();
    let prompt = question(&model.vocab().unwrap(), QUESTION);
    let mut context = Context::options()
        .threads(2)
        .context_length(prompt.len() as i64 + 4)
        .sequences(2)
        .create(&model)
        .unwrap();
    assert_eq!(
        collect(&mut context, &prompt, Generate::new().max_tokens(2)).2,
        Some(Stopped::Limit)
    );
    assert_eq!(collect(&mut context, &prompt[..1], Generate::new()).2, Some(Stopped::Context));
    let stopped = context
        .generate_with(&prompt, Generate::new().sequence(1), |_, _| ControlFlow::Break(()))
        .unwrap();
    assert_eq!((stopped.stopped, stopped.generated_tokens), (Stopped::Callback, 1));
    let mut tokens = context.generate(&prompt, Generate::new().sequence(1)).unwrap();
    assert_eq!(tokens.next().unwrap().unwrap_err().status(), Status::ContextFull);
    assert!(tokens.next().is_none() && tokens.stopped().is_none() && tokens.last_token().is_none());
    drop(tokens);
    assert_eq!(
        context.sequence_length(1),
        Some(prompt.len() as i64),
        "a failure left something behind"
    );
}

#[test]
fn a_conversation_goes_on() {
    let model = tiny();
    let vocab = model.vocab().unwrap();
    let mut context = small(&model);
    let mut prompt = question(&vocab, QUESTION);
    for turn in 0..3 {
        let mut tokens = context.generate(&prompt, Generate::new()).unwrap();
        let text: String = tokens.by_ref().map(|piece| piece.unwrap().text).collect();
        assert_eq!(text, ANSWER, "turn {}", turn);
        prompt = vec![tokens.last_token().unwrap()];
        prompt.extend(vocab.tokenize_chat(&[Message::user(QUESTION)], ChatFlags::NO_BOS).unwrap());
    }
    let all = [
        Message::user(QUESTION),
        Message::assistant(ANSWER),
        Message::user(QUESTION),
        Message::assistant(ANSWER),
        Message::user(QUESTION),
    ];
    let whole = vocab.tokenize_chat(&all, ChatFlags::empty()).unwrap().len()
        + vocab.tokenize(ANSWER, TokenizeFlags::empty()).unwrap().len();
    assert_eq!(context.sequence_length(0), Some(whole as i64));
}

#[test]
fn an_iterator_may_be_dropped_at_any_time() {
    let model = tiny();
    let prompt = question(&model.vocab().unwrap(), QUESTION);
    let mut context = small(&model);
    drop(context.generate(&prompt, Generate::new()).unwrap());
    assert_eq!(context.sequence_length(0), Some(0));
    for n in 1..4_usize {
        context.truncate(0, 0).unwrap();
        let ids: Vec<_> = context
            .generate(&prompt, Generate::new())
            .unwrap()
            .take(n)
            .map(|piece| piece.unwrap().token)
            .collect();
        assert_eq!(context.sequence_length(0), Some((prompt.len() + n - 1) as i64));
        let rest = context.generate(&ids[n - 1..], Generate::new()).unwrap();
        assert!(rest.context().sequence_length(0).is_some());
        let rest: String = rest.map(|piece| piece.unwrap().text).collect();
        assert!(ANSWER.ends_with(&rest) && rest.len() < ANSWER.len() && !rest.is_empty());
    }
}

#[test]
fn samplers_repeat_themselves() {
    let model = tiny();
    let logits: Vec<f32> = (0..200).map(|i| ((i * 7919) % 101) as f32 / 25.0).collect();
    let draw = |sampler: &mut Sampler| (0..50).map(|_| sampler.sample(&logits).unwrap()).collect::<Vec<_>>();
    let mut sampler = Sampler::builder().temperature(0.8).seed(42).build(&model).unwrap();
    let first = draw(&mut sampler);
    assert_ne!(first, draw(&mut sampler));
    sampler.reset(42).unwrap();
    assert_eq!(first, draw(&mut sampler));
    let best = Sampler::greedy(&model).unwrap().sample(&[1.0, f32::NAN, 3.0, 3.0]).unwrap();
    assert_eq!(best, 2);
    assert_eq!(
        Sampler::builder()
            .temperature(9.0)
            .greedy()
            .build(&model)
            .unwrap()
            .sample(&[0.0, 1.0])
            .unwrap(),
        1
    );
    assert_eq!(sampler.sample(&[]).unwrap_err().status(), Status::Argument);
    assert_eq!(sampler.sample(&[f32::NAN]).unwrap_err().status(), Status::Argument);
    for wrong in [
        Sampler::builder().temperature(-1.0),
        Sampler::builder().top_k(-1),
        Sampler::builder().top_p(1.5),
        Sampler::builder().min_p(f32::NAN),
    ] {
        assert_eq!(wrong.build(&model).unwrap_err().status(), Status::Argument, "{:?}", wrong);
    }
}

/// Ids, text and end of a run of the program.
#[test]
fn the_same_as_the_program() {
    let program = match std::env::var_os("LLAMA4_PROGRAM") {
        Some(program) => program,
        None => {
            println!("skipped: LLAMA4_PROGRAM does not name the llama4 program");
            return;
        }
    };
    let folder = Folder::new("program");
    let model = tiny();
    let vocab = model.vocab().unwrap();
    let mut context = small(&model);
    let cases = [
        (QUESTION, false, vec!["--temp", "0"]),
        (QUESTION, false, vec!["--temp", "0.6", "--top-p", "0.9", "--seed", "1"]),
        (
            "The with statement",
            true,
            vec!["--temp", "1", "--top-p", "0.9", "--seed", "18446744073709551615", "-n", "60"],
        ),
        (
            "日本語 naïve 👩🏽‍🚀",
            true,
            vec![
                "--temp", "1.5", "--top-k", "50", "--top-p", "1", "--min-p", "0.02", "--seed", "7", "-n", "60",
            ],
        ),
        (
            "What is while?",
            false,
            vec!["--temp", "0.9", "--top-p", "0.95", "--seed", "3", "-n", "80"],
        ),
    ];
    for (prompt, raw, options) in cases {
        let file = folder.0.join("prompt");
        std::fs::write(&file, prompt).unwrap();
        let mut command = Command::new(&program);
        command
            .arg("run")
            .arg(tiny_path())
            .arg("-f")
            .arg(&file)
            .arg("--json")
            .args(&options)
            .current_dir(root());
        if raw {
            command.arg("--raw");
        }
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let want = Json::parse(std::str::from_utf8(&done.stdout).unwrap());
        let value = |name: &str| {
            options
                .iter()
                .position(|o| *o == name)
                .map(|i| options[i + 1].parse::<f64>().unwrap())
        };
        let seed = options
            .iter()
            .position(|o| *o == "--seed")
            .map_or(0, |i| options[i + 1].parse().unwrap());
        let mut chain = Sampler::builder().seed(seed).temperature(value("--temp").unwrap() as f32);
        chain = value("--top-k").map_or(chain.clone(), |k| chain.top_k(k as i32));
        chain = value("--top-p")
            .filter(|p| *p < 1.0)
            .map_or(chain.clone(), |p| chain.top_p(p as f32));
        chain = value("--min-p").map_or(chain.clone(), |p| chain.min_p(p as f32));
        let ids = if raw {
            vocab.tokenize(prompt, TokenizeFlags::BOS).unwrap()
        } else {
            question(&vocab, prompt)
        };
        assert_eq!(ids, want.get("prompt_ids").ids());
        for run in [collect, with_closure] {
            let mut sampler = chain.build(&model).unwrap();
            context.truncate(0, 0).unwrap();
            let max = value("-n").unwrap_or(0.0) as u64;
            let got = run(&mut context, &ids, Generate::new().sampler(&mut sampler).max_tokens(max));
            assert_eq!(
                (got.0, got.1.as_str()),
                (want.get("ids").ids(), want.get("text").text()),
                "{:?}",
                options
            );
            let stopped = if want.get("stopped").text() == "limit" {
                Stopped::Limit
            } else {
                Stopped::Token
            };
            assert_eq!(got.2, Some(stopped));
        }
    }
}
