//! A conversation in the terminal: `cargo run --release --example chat -- MODEL [SEED]`. Without a seed answers are the most likely ones.

use std::io::{self, BufRead, Write};

use llama4::{ChatFlags, Context, Generate, Message, Model, Sampler, Status, Stopped};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seed = arguments.get(1).map(|seed| seed.parse::<u64>());
    if arguments.is_empty() || arguments.len() > 2 || matches!(seed, Some(Err(_))) {
        eprintln!("Usage: chat MODEL [SEED]");
        std::process::exit(2);
    }
    if let Err(error) = chat(&arguments[0], seed.and_then(Result::ok)) {
        eprintln!("chat: {}", error);
        std::process::exit(1);
    }
}

fn chat(path: &str, seed: Option<u64>) -> Result<(), Box<dyn std::error::Error>> {
    let model = Model::open(path)?;
    let vocab = model.vocab().ok_or_else(|| format!("{} has no vocabulary", path))?;
    let mut context = Context::new(&model)?;
    let mut sampler = match seed {
        Some(seed) => Sampler::builder().temperature(0.6).top_p(0.9).seed(seed).build(&model)?,
        None => Sampler::greedy(&model)?,
    };
    // The last token of an answer is not yet part of the sequence: it begins the next prompt.
    let mut last = None;
    let (mut lines, mut out) = (io::stdin().lock().lines(), io::stdout());
    loop {
        eprint!("> ");
        let line = match lines.next() {
            Some(line) => line?,
            None => break,
        };
        let flags = if last.is_some() {
            ChatFlags::NO_BOS
        } else {
            ChatFlags::empty()
        };
        let mut prompt: Vec<_> = last.into_iter().collect();
        prompt.extend(vocab.tokenize_chat(&[Message::user(&line)], flags)?);
        let mut tokens = context.generate(&prompt, Generate::new().sampler(&mut sampler))?;
        let mut failure = None;
        for piece in &mut tokens {
            match piece {
                Ok(piece) => {
                    write!(out, "{}", piece)?;
                    out.flush()?;
                }
                Err(error) => failure = Some(error),
            }
        }
        writeln!(out)?;
        let full = tokens.stopped() == Some(Stopped::Context);
        last = tokens.last_token();
        match failure {
            Some(error) if error.status() != Status::ContextFull => return Err(error.into()),
            None if !full => {}
            _ => {
                eprintln!("(the context is full: the conversation begins anew)");
                context.truncate(0, 0)?;
                last = None;
            }
        }
    }
    eprintln!();
    Ok(())
}
