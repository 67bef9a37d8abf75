//! Generating text: an iterator of tokens, and the library's own loop with a closure.

use std::borrow::Cow;
use std::fmt;
use std::iter::FusedIterator;
use std::mem::size_of;
use std::ops::ControlFlow;
use std::os::raw::{c_char, c_void};
use std::time::Duration;

use llama4_sys as sys;

use crate::chat::{Message, RawMessages};
use crate::context::{no_sequence, Context};
use crate::detokenizer::Detokenizer;
use crate::error::{Error, Result, Status};
use crate::flags::{ChatFlags, DetokenizeFlags, TokenFlags};
use crate::hooks::{call, guarded};
use crate::sampler::Sampler;
use crate::vocab::Vocab;
use crate::Token;

/// How to generate. The defaults: greedily, on sequence 0, until a stop token comes or the context is full.
#[derive(Debug, Default)]
#[must_use]
pub struct Generate<'a> {
    sequence: i32,
    max_tokens: i64,
    sampler: Option<&'a mut Sampler>,
    ignore_stop: bool,
    special_text: bool,
    embeddings: &'a [f32],
}

impl<'a> Generate<'a> {
    /// The defaults.
    pub fn new() -> Generate<'a> {
        Generate::default()
    }

    /// The sequence to continue.
    pub fn sequence(mut self, sequence: i32) -> Self {
        self.sequence = sequence;
        self
    }

    /// At most so many tokens; 0: no limit.
    pub fn max_tokens(mut self, tokens: u64) -> Self {
        self.max_tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
        self
    }

    /// How tokens are chosen.
    pub fn sampler(mut self, sampler: &'a mut Sampler) -> Self {
        self.sampler = Some(sampler);
        self
    }

    /// Go on past stop tokens.
    pub fn ignore_stop(mut self, yes: bool) -> Self {
        self.ignore_stop = yes;
        self
    }

    /// Write the names of special tokens into the text.
    pub fn special_text(mut self, yes: bool) -> Self {
        self.special_text = yes;
        self
    }

    /// Embeddings of the prompt, as for [`Context::decode_embeddings`]. Chats make their own.
    pub fn embeddings(mut self, numbers: &'a [f32]) -> Self {
        self.embeddings = numbers;
        self
    }
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stopped {
    /// A stop token came.
    Token,
    /// The limit was reached.
    Limit,
    /// The closure asked for it.
    Callback,
    /// The context is full.
    Context,
    /// A reason that this version of the crate does not know.
    Other(i32),
}

impl Stopped {
    fn from_code(code: i32) -> Stopped {
        match sys::llama4_stopped_value(code) {
            sys::llama4_stopped_value::LLAMA4_STOPPED_TOKEN => Stopped::Token,
            sys::llama4_stopped_value::LLAMA4_STOPPED_LIMIT => Stopped::Limit,
            sys::llama4_stopped_value::LLAMA4_STOPPED_CALLBACK => Stopped::Callback,
            sys::llama4_stopped_value::LLAMA4_STOPPED_CONTEXT => Stopped::Context,
            _ => Stopped::Other(code),
        }
    }
}

/// A new token and the text that it completed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece {
    /// The token.
    pub token: Token,
    /// The text, often empty. The last piece also has what was still waiting for the rest of a code point.
    pub text: String,
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// An iterator of new tokens: see [`Context::generate`] and [`Context::chat`].
///
/// The first step reads the prompt. After an error it ends. It may be dropped at any time: the sequence then holds the prompt and all tokens
/// that were handed out but the last, which begins the next prompt if the conversation goes on.
#[must_use = "nothing is computed before the first step"]
pub struct Tokens<'a> {
    context: &'a mut Context,
    sampler: Chosen<'a>,
    vocab: Option<Vocab>,
    detokenizer: Option<Detokenizer>,
    prompt: Vec<Token>,
    embeddings: Cow<'a, [f32]>,
    share: f32,
    sequence: i32,
    before: i64,
    max_tokens: i64,
    ignore_stop: bool,
    generated: i64,
    last: Option<Token>,
    stopped: Option<Stopped>,
    ended: bool,
}

enum Chosen<'a> {
    Caller(&'a mut Sampler),
    Greedy(Sampler),
}

impl fmt::Debug for Tokens<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("generated", &self.generated)
            .field("last", &self.last)
            .field("stopped", &self.stopped)
            .finish()
    }
}

impl Tokens<'_> {
    /// Why it ended; `None` before that, and after an error.
    pub fn stopped(&self) -> Option<Stopped> {
        self.stopped
    }

    /// The last token that was handed out. It is not yet part of the sequence: a conversation goes on by passing it first in the next prompt.
    pub fn last_token(&self) -> Option<Token> {
        self.last
    }

    /// The context, to look at.
    pub fn context(&self) -> &Context {
        self.context
    }

    fn step(&mut self) -> Result<Piece> {
        let item = match self.last {
            None => {
                let prompt = std::mem::take(&mut self.prompt);
                let embeddings = std::mem::take(&mut self.embeddings);
                self.context.share_progress(self.share, 1.0 - self.share);
                let read = self.context.append_with(self.sequence, &prompt, &embeddings).map(|_| ());
                self.context.share_progress(0.0, 1.0);
                read?;
                prompt.len() - 1
            }
            Some(token) => {
                self.context.append(self.sequence, &[token])?;
                0
            }
        };
        let (token, mut text) = match self.choose(item) {
            Ok(chosen) => chosen,
            Err(error) => {
                // Nothing was handed out for the token just appended, so that it is taken back.
                let length = self.context.sequence_length(self.sequence).unwrap_or(0);
                let keep = if self.last.is_some() { length - 1 } else { self.before };
                let _ = self.context.truncate(self.sequence, keep);
                return Err(error);
            }
        };
        self.last = Some(token);
        self.generated += 1;
        self.stopped = self.reason(token);
        if let (Some(_), Some(detokenizer)) = (self.stopped, &mut self.detokenizer) {
            text.push_str(detokenizer.finish()?);
        }
        Ok(Piece { token, text })
    }

    fn choose(&mut self, item: usize) -> Result<(Token, String)> {
        let logits = self.context.logits(item)?;
        let token = match &mut self.sampler {
            Chosen::Caller(sampler) => sampler.sample(logits)?,
            Chosen::Greedy(sampler) => sampler.sample(logits)?,
        };
        let text = match &mut self.detokenizer {
            Some(detokenizer) => detokenizer.push(token)?.to_owned(),
            None => String::new(),
        };
        Ok((token, text))
    }

    fn reason(&self, token: Token) -> Option<Stopped> {
        let stops = |vocab: &Vocab| vocab.flags(token).contains(TokenFlags::STOP);
        if !self.ignore_stop && self.vocab.as_ref().map_or(false, stops) {
            Some(Stopped::Token)
        } else if self.max_tokens > 0 && self.generated >= self.max_tokens {
            Some(Stopped::Limit)
        } else if self.context.sequence_length(self.sequence) >= Some(self.context.length()) {
            Some(Stopped::Context)
        } else {
            None
        }
    }
}

impl Iterator for Tokens<'_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Result<Piece>> {
        if self.ended {
            return None;
        }
        self.ended = true; // also if a closure of the caller's panics
        let step = self.step();
        self.ended = step.is_err() || self.stopped.is_some();
        Some(step)
    }
}

impl FusedIterator for Tokens<'_> {}

/// How a generation ended, and how long it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Generated {
    /// Why it ended.
    pub stopped: Stopped,
    /// Tokens computed before the first new one.
    pub prompt_tokens: i64,
    /// New tokens, the stop token included.
    pub generated_tokens: i64,
    /// Wall time until the first new token.
    pub prompt_time: Duration,
    /// Wall time of the rest.
    pub generate_time: Duration,
    /// The last token; it is not yet part of the sequence.
    pub last_token: Option<Token>,
}

/// The library's parameters.
fn raw_params(options: &mut Generate<'_>) -> sys::llama4_generate_params {
    let mut flags = 0;
    if options.ignore_stop {
        flags |= sys::llama4_generate_flags::LLAMA4_GENERATE_IGNORE_STOP.0;
    }
    if options.special_text {
        flags |= sys::llama4_generate_flags::LLAMA4_GENERATE_SPECIAL_TEXT.0;
    }
    sys::llama4_generate_params {
        struct_size: size_of::<sys::llama4_generate_params>() as u32,
        flags,
        max_tokens: options.max_tokens,
        sampler: options
            .sampler
            .as_mut()
            .map_or(std::ptr::null_mut(), |sampler| sampler.raw.as_ptr()),
        embeddings: if options.embeddings.is_empty() {
            std::ptr::null()
        } else {
            options.embeddings.as_ptr()
        },
        n_embeddings: options.embeddings.len() as u64,
    }
}

/// Runs the library's loop, whatever the prompt.
fn run<F: FnMut(Option<Token>, &str) -> ControlFlow<()>>(
    mut on_piece: F,
    f: impl FnOnce(sys::llama4_text_fn, *mut c_void, *mut sys::llama4_generate_result, *mut sys::llama4_error) -> sys::llama4_status,
) -> Result<Generated> {
    let size = size_of::<sys::llama4_generate_result>() as u32;
    let mut result = sys::llama4_generate_result {
        struct_size: size,
        ..Default::default()
    };
    let user = (&mut on_piece as *mut F).cast();
    call(|error| f(Some(on_text::<F>), user, &mut result, error))?;
    let time = |seconds: f64| {
        if seconds > 0.0 && seconds < 1e15 {
            Duration::from_secs_f64(seconds)
        } else {
            Duration::ZERO
        }
    };
    Ok(Generated {
        stopped: Stopped::from_code(result.stopped),
        prompt_tokens: result.prompt_tokens,
        generated_tokens: result.generated_tokens,
        prompt_time: time(result.prompt_seconds),
        generate_time: time(result.generate_seconds),
        last_token: (result.last_token >= 0).then_some(result.last_token),
    })
}

/// `user` is a `*mut F` that nobody else uses during the call.
unsafe extern "C" fn on_text<F: FnMut(Option<Token>, &str) -> ControlFlow<()>>(
    user: *mut c_void,
    token: i32,
    text: *const c_char,
    length: usize,
) -> i32 {
    let flow = guarded(|| {
        // SAFETY: as said above; the text is valid for its length.
        let (on_piece, bytes) = unsafe {
            let bytes = if length == 0 {
                &[][..]
            } else {
                std::slice::from_raw_parts(text.cast::<u8>(), length)
            };
            (&mut *user.cast::<F>(), bytes)
        };
        on_piece((token >= 0).then_some(token), &String::from_utf8_lossy(bytes))
    });
    (flow != Some(ControlFlow::Continue(()))) as i32
}

impl Context {
    /// Appends a prompt to a sequence, then chooses tokens and appends them, one by one, as the iterator goes on.
    pub fn generate<'a>(&'a mut self, prompt: &[Token], options: Generate<'a>) -> Result<Tokens<'a>> {
        if prompt.is_empty() {
            return Err(Error::new(Status::Argument, "the prompt is empty: at least one id is needed"));
        }
        let sequence = options.sequence;
        let before = self.sequence_length(sequence).ok_or_else(|| no_sequence(sequence))?;
        let model = self.model();
        let vocab = model.vocab();
        let flags = if options.special_text {
            DetokenizeFlags::SPECIAL
        } else {
            DetokenizeFlags::empty()
        };
        let detokenizer = vocab.as_ref().map(|vocab| Detokenizer::new(vocab, flags)).transpose()?;
        let sampler = match options.sampler {
            Some(sampler) => Chosen::Caller(sampler),
            None => Chosen::Greedy(Sampler::greedy(&model)?),
        };
        Ok(Tokens {
            context: self,
            sampler,
            vocab,
            detokenizer,
            prompt: prompt.to_vec(),
            embeddings: Cow::Borrowed(options.embeddings),
            share: 0.0,
            sequence,
            before,
            max_tokens: options.max_tokens,
            ignore_stop: options.ignore_stop,
            generated: 0,
            last: None,
            stopped: None,
            ended: false,
        })
    }

    /// Answers a whole conversation on a sequence that is emptied first.
    ///
    /// ```no_run
    /// # use llama4::{Context, Generate, Message, Sampler};
    /// # fn f(context: &mut Context, sampler: &mut Sampler) -> llama4::Result<()> {
    /// let messages = [Message::system("Answer in one word."), Message::user("What is the capital of France?")];
    /// for piece in context.chat(&messages, Generate::new().sampler(sampler).max_tokens(100))? {
    ///     print!("{}", piece?);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn chat<'a>(&'a mut self, messages: &[Message<'_>], options: Generate<'a>) -> Result<Tokens<'a>> {
        let vocab = self.model().vocab();
        let vocab = vocab.ok_or_else(|| Error::new(Status::NoVocabulary, "the model has no vocabulary: a chat needs one"))?;
        let prompt = vocab.tokenize_chat(messages, ChatFlags::empty())?;
        if prompt.len() as u64 > self.length() as u64 {
            // before the pictures are encoded in vain
            let message = format!(
                "the conversation has {} tokens, and the context holds {} positions",
                prompt.len(),
                self.length()
            );
            return Err(Error::new(Status::ContextFull, message));
        }
        let (embeddings, share) = self.embed(messages, prompt.len())?;
        self.truncate(options.sequence, 0)?;
        let mut tokens = self.generate(&prompt, options)?;
        tokens.embeddings = Cow::Owned(embeddings);
        tokens.share = share;
        Ok(tokens)
    }

    /// The embeddings of all pictures, and what share of the whole work that was.
    fn embed(&mut self, messages: &[Message<'_>], tokens: usize) -> Result<(Vec<f32>, f32)> {
        let model = self.model();
        let parts = || messages.iter().flat_map(|message| &message.parts);
        let (mut rows, mut all) = (0, Vec::new());
        for part in parts() {
            if let Some(image) = part.image() {
                let info = image.info(Some(&model))?;
                if part.is_frame() && info.tiles != 1 {
                    return Err(Error::new(
                        Status::Argument,
                        "a frame has one tile: give its image max_tiles(1)",
                    ));
                }
                rows += info.embeddings;
            }
        }
        let info = model.info()?;
        let share = if rows > 0 && info.tile_tokens > 0 {
            let patches = f64::from(rows) * f64::from(info.tile_size / info.patch_size).powi(2) / f64::from(info.tile_tokens);
            let work = patches * info.vision_parameters as f64;
            (work / (work + tokens as f64 * info.active_parameters as f64)) as f32
        } else {
            0.0
        };
        let mut done = 0;
        for part in parts() {
            if let Some(image) = part.image() {
                let count = image.info(Some(&model))?.embeddings;
                self.share_progress(share * done as f32 / rows as f32, share * count as f32 / rows as f32);
                let made = self.encode(image);
                self.share_progress(0.0, 1.0);
                all.extend_from_slice(made?.numbers()?);
                done += count;
            } else if let Some(embeddings) = part.embeddings() {
                all.extend_from_slice(embeddings.numbers()?);
            }
        }
        Ok((all, share))
    }

    /// The library's own loop: the same tokens as [`generate`](Context::generate), handed to a closure with the text that they completed. `Break`
    /// stops after this token. A last call without a token may follow, with text that was still waiting. If the closure panics, the
    /// generation stops and the panic goes on.
    pub fn generate_with(
        &mut self,
        prompt: &[Token],
        mut options: Generate<'_>,
        on_piece: impl FnMut(Option<Token>, &str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        let (params, sequence) = (raw_params(&mut options), options.sequence);
        // SAFETY: all that is passed lives during the call; the context and the sampler are ours alone.
        run(on_piece, |on_text, user, result, error| unsafe {
            sys::llama4_context_generate(
                self.raw(),
                sequence,
                prompt.as_ptr(),
                prompt.len(),
                &params,
                on_text,
                user,
                result,
                error,
            )
        })
    }

    /// The library's own loop for a whole conversation, on a sequence that is emptied first.
    pub fn chat_with(
        &mut self,
        messages: &[Message<'_>],
        mut options: Generate<'_>,
        on_piece: impl FnMut(Option<Token>, &str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        let raw = RawMessages::new(messages)?;
        let (params, sequence) = (raw_params(&mut options), options.sequence);
        let (messages, n, stride) = raw.parts();
        // SAFETY: as above; raw holds all that the messages point to.
        run(on_piece, |on_text, user, result, error| unsafe {
            sys::llama4_context_chat(
                self.raw(),
                sequence,
                messages,
                n,
                stride,
                &params,
                on_text,
                user,
                result,
                error,
            )
        })
    }
}
