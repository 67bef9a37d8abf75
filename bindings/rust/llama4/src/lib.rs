//! Runs Meta's Llama 4 models on CPUs, inside your program: a safe wrapper of libllama4.
//!
//! ```
//! use llama4::{Context, Generate, Message, Model};
//! # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../..")).unwrap();
//!
//! let model = Model::open("examples/models/llama4-tiny.gguf")?;
//! let mut context = Context::new(&model)?;
//! let mut answer = String::new();
//! for piece in context.chat(&[Message::user("What is 11 + 3?")], Generate::new())? {
//!     answer.push_str(&piece?.text);
//! }
//! assert_eq!(answer, "11 + 3 = 14.");
//! # Ok::<(), llama4::Error>(())
//! ```
//!
//! One level below, [`Vocab::tokenize`], [`Context::decode`], [`Context::logits`] and [`Sampler::sample`] give full control of the same loop.
//!
//! # Rules that hold everywhere
//!
//! - [`Model`], [`Vocab`], [`Image`] and [`Embeddings`] are immutable, counted, and may be used by any number of threads: they are `Send`, `Sync` and cheap to clone.
//!   [`Context`], [`Sampler`] and [`Detokenizer`] are `Send` but not `Sync`. A [`CancelHandle`] stops a context from any thread.
//! - Values may be dropped in any order: a context keeps what it needs of its model alive.
//! - Every call that can fail returns an [`Error`] with the library's [`Status`] and its message. A call that fails changes nothing, unless
//!   its documentation says otherwise.
//! - A panic in a closure that the library calls (progress, log, text) cancels the call if it can be cancelled, and goes on in the
//!   thread that made the call, once the library has returned.
//! - The same file, prompt and seed give the same tokens on every machine, whatever the number of threads.
#![deny(unsafe_op_in_unsafe_fn, missing_docs)]
#![warn(missing_debug_implementations)]

mod chat;
mod context;
mod convert;
mod detokenizer;
mod error;
mod ffi;
mod flags;
mod generate;
mod hooks;
mod image;
mod info;
mod model;
mod plan;
mod sampler;
mod vocab;

pub use chat::{Message, Part, Role, ToolCall};
pub use context::{BatchItem, CancelHandle, Context, ContextOptions};
pub use convert::Convert;
pub use detokenizer::Detokenizer;
pub use error::{Error, Result, Status};
pub use flags::{ChatFlags, CpuLevel, DetokenizeFlags, Fits, KvType, LogLevel, TensorPath, TokenFlags, TokenizeFlags};
pub use generate::{Generate, Generated, Piece, Stopped, Tokens};
pub use image::{Channels, Embeddings, Image, ImageInfo, ImageOptions};
pub use info::{ContextInfo, MemoryInfo, ModelInfo, TensorInfo};
pub use model::{Model, ModelOptions};
pub use plan::{plan, Plan, PlanOptions};
pub use sampler::{Sampler, SamplerBuilder};
pub use vocab::Vocab;

/// The declarations that this crate stands on.
pub use llama4_sys as sys;

/// A token's id: a number from 0 to [`Vocab::len`] - 1.
pub type Token = i32;

/// The version of the library that is running: major, minor and patch.
pub fn version() -> (u32, u32, u32) {
    // SAFETY: takes nothing and cannot fail.
    let version = unsafe { sys::llama4_version() };
    (version / 1_000_000, version / 1000 % 1000, version % 1000)
}
