//! Tokens to text, one at a time.

use std::fmt;
use std::os::raw::c_char;
use std::ptr::NonNull;
use std::sync::Arc;

use llama4_sys as sys;

use crate::error::{Error, Result, Status};
use crate::flags::DetokenizeFlags;
use crate::hooks::{call, make, Keep};
use crate::vocab::Vocab;
use crate::Token;

/// Turns tokens into text one at a time and never splits a code point: bytes wait until the code point they belong to is complete. Bytes that
/// can never become valid UTF-8 come out as U+FFFD.
///
/// The text lives until the next call:
///
/// ```compile_fail,E0499
/// # fn f(mut d: llama4::Detokenizer) -> llama4::Result<()> {
/// let first = d.push(1)?;
/// let second = d.push(2)?;
/// println!("{first}{second}");
/// # Ok(()) }
/// ```
///
/// It may move to another thread, but not be shared:
///
/// ```compile_fail,E0277
/// fn share<T: Sync>() {}
/// share::<llama4::Detokenizer>();
/// ```
pub struct Detokenizer {
    raw: NonNull<sys::llama4_detokenizer>,
    _keep: Arc<Keep>,
}

// SAFETY: "A context, a sampler and a detokenizer may move between threads but belong to one at a time", says the header.
unsafe impl Send for Detokenizer {}

impl Drop for Detokenizer {
    fn drop(&mut self) {
        // SAFETY: this handle is the only owner. Keep goes after it.
        unsafe { sys::llama4_detokenizer_release(self.raw.as_ptr()) }
    }
}

impl fmt::Debug for Detokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Detokenizer").field(&self.raw).finish()
    }
}

impl Detokenizer {
    /// One for the tokens of this vocabulary.
    pub fn new(vocab: &Vocab, flags: DetokenizeFlags) -> Result<Detokenizer> {
        make(
            // SAFETY: the vocabulary is alive; the library takes a reference of its own.
            |out, error| unsafe { sys::llama4_detokenizer_create(vocab.raw.as_ptr(), flags.bits(), out, error) },
            |raw| Detokenizer {
                raw,
                _keep: vocab.keep.clone(),
            },
        )
    }

    /// Adds a token and hands out the text that is complete: often none, in the middle of a code point.
    pub fn push(&mut self, token: Token) -> Result<&str> {
        // SAFETY: the pointers are valid during the call.
        self.text(|raw, text, length, error| unsafe { sys::llama4_detokenizer_push(raw, token, text, length, error) })
    }

    /// Hands out what still waits, as U+FFFD if it is incomplete, and starts afresh.
    pub fn finish(&mut self) -> Result<&str> {
        // SAFETY: the pointers are valid during the call.
        self.text(|raw, text, length, error| unsafe { sys::llama4_detokenizer_finish(raw, text, length, error) })
    }

    fn text(
        &mut self,
        f: impl FnOnce(*mut sys::llama4_detokenizer, *mut *const c_char, *mut usize, *mut sys::llama4_error) -> sys::llama4_status,
    ) -> Result<&str> {
        let (mut text, mut length) = (std::ptr::null(), 0);
        call(|error| f(self.raw.as_ptr(), &mut text, &mut length, error))?;
        if length == 0 {
            return Ok("");
        }
        // SAFETY: the library keeps these bytes until the next call on the detokenizer, which needs the borrow that is given out here.
        let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
        std::str::from_utf8(bytes).map_err(|error| Error::new(Status::Utf8, format!("the detokenizer's text: {}", error)))
    }
}
