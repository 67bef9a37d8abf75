//! Text to token ids and back.

use std::fmt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use llama4_sys as sys;

use crate::chat::{Message, RawMessages};
use crate::error::Result;
use crate::ffi::fill;
use crate::flags::{ChatFlags, DetokenizeFlags, TokenFlags, TokenizeFlags};
use crate::hooks::Keep;
use crate::model::ModelOptions;
use crate::Token;

/// A vocabulary: immutable, counted, shared by any number of threads. A clone is the same vocabulary.
pub struct Vocab {
    pub(crate) raw: NonNull<sys::llama4_vocab>,
    pub(crate) keep: Arc<Keep>,
}

// SAFETY: as for Model, in the header's words.
unsafe impl Send for Vocab {}
unsafe impl Sync for Vocab {}

impl Drop for Vocab {
    fn drop(&mut self) {
        // SAFETY: this handle owns one reference. Keep goes after it.
        unsafe { sys::llama4_vocab_release(self.raw.as_ptr()) }
    }
}

impl Clone for Vocab {
    fn clone(&self) -> Vocab {
        // SAFETY: the vocabulary is alive.
        unsafe { Vocab::share(self.raw, &self.keep) }
    }
}

impl fmt::Debug for Vocab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vocab").field("len", &self.len()).finish()
    }
}

impl Vocab {
    /// A vocabulary alone, from a GGUF file, a tokenizer.json, a tiktoken tokenizer.model, or a directory that holds one of the last two.
    /// [`Model::vocab`](crate::Model::vocab) is the one of a model, and [`ModelOptions::open_vocab`] takes options.
    pub fn open(path: impl AsRef<Path>) -> Result<Vocab> {
        ModelOptions::new().open_vocab(path)
    }

    /// # Safety
    /// `raw` is alive and was made with `keep`.
    pub(crate) unsafe fn share(raw: NonNull<sys::llama4_vocab>, keep: &Arc<Keep>) -> Vocab {
        // SAFETY: alive, says the caller.
        unsafe { sys::llama4_vocab_ref(raw.as_ptr()) };
        Vocab { raw, keep: keep.clone() }
    }

    /// Number of token ids, special ones included; ids are 0 .. len - 1.
    pub fn len(&self) -> usize {
        // SAFETY: the vocabulary is alive.
        unsafe { sys::llama4_vocab_get_size(self.raw.as_ptr()) as usize }
    }

    /// Are there no ids at all?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of the token whose bytes (or, for a special token, whose name, such as `<|eot|>`) are exactly these.
    pub fn find(&self, bytes: impl AsRef<[u8]>) -> Option<Token> {
        let bytes = bytes.as_ref();
        // SAFETY: bytes are valid for their length.
        let token = unsafe { sys::llama4_vocab_find(self.raw.as_ptr(), bytes.as_ptr().cast(), bytes.len()) };
        (token >= 0).then_some(token)
    }

    /// What kind of token an id is; empty for ids out of range.
    pub fn flags(&self, token: Token) -> TokenFlags {
        // SAFETY: the vocabulary is alive; any id will do.
        TokenFlags::from_bits(unsafe { sys::llama4_vocab_token_flags(self.raw.as_ptr(), token) })
    }

    /// The bytes that a token stands for (any bytes: a token may hold part of a code point), or a special token's name.
    pub fn bytes(&self, token: Token) -> Result<Vec<u8>> {
        fill(32, |bytes: *mut u8, capacity, count, error| {
            // SAFETY: bytes has room for capacity of them.
            unsafe { sys::llama4_vocab_token_bytes(self.raw.as_ptr(), token, bytes.cast(), capacity, count, error) }
        })
    }

    /// Splits text into token ids, exactly as Meta's tokeniser does.
    pub fn tokenize(&self, text: &str, flags: TokenizeFlags) -> Result<Vec<Token>> {
        fill(text.len() / 3 + 8, |tokens, capacity, count, error| {
            // SAFETY: text is valid for its length, tokens for capacity elements.
            unsafe {
                let text = (text.as_ptr().cast(), text.len());
                sys::llama4_vocab_tokenize(
                    self.raw.as_ptr(),
                    text.0,
                    text.1,
                    flags.bits(),
                    tokens,
                    capacity,
                    count,
                    error,
                )
            }
        })
    }

    /// The bytes of a row of tokens, joined.
    pub fn detokenize_bytes(&self, tokens: &[Token], flags: DetokenizeFlags) -> Result<Vec<u8>> {
        fill(tokens.len() * 6 + 8, |text: *mut u8, capacity, count, error| {
            // SAFETY: tokens are valid for their length, text for capacity bytes.
            unsafe {
                let text = text.cast();
                sys::llama4_vocab_detokenize(
                    self.raw.as_ptr(),
                    tokens.as_ptr(),
                    tokens.len(),
                    flags.bits(),
                    text,
                    capacity,
                    count,
                    error,
                )
            }
        })
    }

    /// The text of a row of tokens, joined; what is not valid UTF-8 comes out as U+FFFD. A [`Detokenizer`](crate::Detokenizer) does it token
    /// by token.
    pub fn detokenize(&self, tokens: &[Token], flags: DetokenizeFlags) -> Result<String> {
        let bytes = self.detokenize_bytes(tokens, flags)?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// Token ids of a conversation up to and including the header of the assistant's answer, by Meta's rules: content never yields
    /// special tokens.
    pub fn tokenize_chat(&self, messages: &[Message<'_>], flags: ChatFlags) -> Result<Vec<Token>> {
        let raw = RawMessages::new(messages)?;
        fill(64, |tokens, capacity, count, error| {
            // SAFETY: raw holds all that the messages point to; tokens has room for capacity of them.
            unsafe {
                let (p, n, stride) = raw.parts();
                sys::llama4_chat_tokenize(self.raw.as_ptr(), p, n, stride, flags.bits(), tokens, capacity, count, error)
            }
        })
    }
}
