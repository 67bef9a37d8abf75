//! Model files to GGUF.

use std::alloc::GlobalAlloc;
use std::fmt;
use std::mem::size_of;
use std::ops::ControlFlow;
use std::os::raw::c_void;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use llama4_sys as sys;

use crate::error::Result;
use crate::ffi::{c_path, c_string};
use crate::flags::LogLevel;
use crate::hooks::{call, on_allocate, on_log, on_progress, on_release, Keep, Progress};

/// Writes the text part of a model (anything that [`Model::open`](crate::Model::open) accepts) as one GGUF v3 file.
///
/// ```no_run
/// llama4::Convert::new().tensor_type("q8_0").run("Llama-4-Scout", "scout.gguf")?;
/// # Ok::<(), llama4::Error>(())
/// ```
#[derive(Default)]
#[must_use]
pub struct Convert<'a> {
    tensor_type: Option<String>,
    vocabulary: Option<PathBuf>,
    vision: bool,
    imatrix: Option<PathBuf>,
    keep: Keep,
    progress: Option<Box<Progress<'a>>>,
}

impl fmt::Debug for Convert<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Convert")
            .field("tensor_type", &self.tensor_type)
            .field("vocabulary", &self.vocabulary)
            .field("vision", &self.vision)
            .field("imatrix", &self.imatrix)
            .finish()
    }
}

impl<'a> Convert<'a> {
    /// Every tensor keeps its type.
    pub fn new() -> Convert<'a> {
        Convert::default()
    }

    /// Writes the picture encoder, as a file for [`ModelOptions::vision`](crate::ModelOptions::vision), in place of the text part.
    pub fn vision(mut self, yes: bool) -> Self {
        self.vision = yes;
        self
    }

    /// The type of matrices: "f32", "f16", "bf16", "q8_0", "q4_0" and more, see the header. Norms and routers are always float32; rows that no block divides stay
    /// float16.
    pub fn tensor_type(mut self, name: impl Into<String>) -> Self {
        self.tensor_type = Some(name.into());
        self
    }

    /// A tokenizer.json, tokenizer.model or GGUF to take the vocabulary from.
    pub fn vocabulary(mut self, path: impl Into<PathBuf>) -> Self {
        self.vocabulary = Some(path.into());
        self
    }

    /// An importance matrix of llama.cpp's llama-imatrix, which says where errors count more. Needs a quantised type.
    pub fn imatrix(mut self, path: impl Into<PathBuf>) -> Self {
        self.imatrix = Some(path.into());
        self
    }

    /// Receives finished lines, without a newline.
    pub fn log(mut self, log: impl Fn(LogLevel, &str) + Send + Sync + 'static) -> Self {
        self.keep.log = Some(Arc::new(log));
        self
    }

    /// Called with a fraction that grows from 0 to 1. `Break` stops it: [`Status::Cancelled`](crate::Status::Cancelled).
    pub fn progress(mut self, progress: impl FnMut(f32) -> ControlFlow<()> + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Where memory comes from.
    pub fn allocator(mut self, allocator: impl GlobalAlloc + Send + Sync + 'static) -> Self {
        self.keep.allocator = Some(Arc::new(allocator));
        self
    }

    /// Converts. A file that is there already is replaced only when the new one is complete; on failure nothing is left behind.
    pub fn run(mut self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let (from, to) = (c_path(from.as_ref())?, c_path(to.as_ref())?);
        let tensor_type = self
            .tensor_type
            .take()
            .map(|name| c_string(name, "the tensor type"))
            .transpose()?;
        let vocabulary = self.vocabulary.as_deref().map(c_path).transpose()?;
        let imatrix = self.imatrix.as_deref().map(c_path).transpose()?;
        let user = &self.keep as *const Keep as *mut c_void;
        let mut params = sys::llama4_convert_params {
            struct_size: size_of::<sys::llama4_convert_params>() as u32,
            flags: if self.vision {
                sys::llama4_convert_flags::LLAMA4_CONVERT_VISION.0
            } else {
                0
            },
            type_: tensor_type.as_ref().map_or(std::ptr::null(), |name| name.as_ptr()),
            vocabulary_path: vocabulary.as_ref().map_or(std::ptr::null(), |path| path.as_ptr()),
            imatrix_path: imatrix.as_ref().map_or(std::ptr::null(), |path| path.as_ptr()),
            ..Default::default()
        };
        if self.keep.log.is_some() {
            params.log = Some(on_log);
            params.log_user = user;
        }
        if self.keep.allocator.is_some() {
            params.allocate = Some(on_allocate);
            params.release = Some(on_release);
            params.allocator_user = user;
        }
        if let Some(progress) = &mut self.progress {
            params.progress = Some(on_progress::<Box<Progress<'a>>>);
            params.progress_user = (progress as *mut Box<Progress<'a>>).cast();
        }
        // SAFETY: all that params points to lives until the end of this function.
        call(|error| unsafe { sys::llama4_convert(from.as_ptr(), to.as_ptr(), &params, error) })
    }
}
