//! Models and how they are opened.

use std::alloc::GlobalAlloc;
use std::ffi::CString;
use std::fmt;
use std::mem::size_of;
use std::ops::ControlFlow;
use std::os::raw::c_void;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;

use llama4_sys as sys;

use crate::error::Result;
use crate::ffi::c_path;
use crate::flags::{CpuLevel, LogLevel};
use crate::hooks::{call, make, on_allocate, on_log, on_progress, on_release, Keep, Progress};
use crate::info::{MemoryInfo, ModelInfo, TensorInfo};
use crate::vocab::Vocab;

/// An open model: immutable, counted, shared by any number of threads and contexts. A clone is the same model.
pub struct Model {
    pub(crate) raw: NonNull<sys::llama4_model>,
    pub(crate) keep: Arc<Keep>,
}

// SAFETY: "A model and a vocabulary are immutable and may be used by any number of threads at once", says the header; owners are counted
// atomically. What Keep holds is Send and Sync.
unsafe impl Send for Model {}
unsafe impl Sync for Model {}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: this handle owns one reference. Keep goes after it.
        unsafe { sys::llama4_model_release(self.raw.as_ptr()) }
    }
}

impl Clone for Model {
    fn clone(&self) -> Model {
        // SAFETY: the model is alive.
        unsafe { Model::share(self.raw, &self.keep) }
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Model").field(&self.raw).finish()
    }
}

impl Model {
    /// Opens a GGUF file (any part of a split one), or a Hugging Face directory (config.json and safetensors). They may change
    /// once this has returned, unless experts are streamed, or pictures encoded from them.
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        ModelOptions::new().open(path)
    }

    /// The same from the bytes of a single GGUF file: a `Vec<u8>`, an `Arc<[u8]>`, a `&'static [u8]`, a mapping. They are not copied, but kept
    /// until nothing needs the model any more.
    pub fn from_bytes(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Model> {
        ModelOptions::new().open_bytes(bytes)
    }

    /// More ways to open a model.
    pub fn options<'a>() -> ModelOptions<'a> {
        ModelOptions::new()
    }

    /// # Safety
    /// `raw` is alive and was made with `keep`.
    pub(crate) unsafe fn share(raw: NonNull<sys::llama4_model>, keep: &Arc<Keep>) -> Model {
        // SAFETY: alive, says the caller.
        unsafe { sys::llama4_model_ref(raw.as_ptr()) };
        Model { raw, keep: keep.clone() }
    }

    /// The model's vocabulary, unless its files have none. It may outlive the model.
    pub fn vocab(&self) -> Option<Vocab> {
        // SAFETY: the model is alive, and so is its vocabulary; the new handle becomes one more owner of it.
        unsafe {
            let raw = NonNull::new(sys::llama4_model_get_vocab(self.raw.as_ptr()))?;
            Some(Vocab::share(raw, &self.keep))
        }
    }

    /// The model's shape.
    pub fn info(&self) -> Result<ModelInfo> {
        let mut raw = sys::llama4_model_info {
            struct_size: size_of::<sys::llama4_model_info>() as u32,
            ..Default::default()
        };
        // SAFETY: raw is a struct of the size that it says.
        call(|error| unsafe { sys::llama4_model_get_info(self.raw.as_ptr(), &mut raw, error) })?;
        Ok(ModelInfo::from_raw(&raw))
    }

    /// A tensor of the model's files: `index` from 0 to [`ModelInfo::tensors`] - 1.
    pub fn tensor(&self, index: i32) -> Result<TensorInfo> {
        let mut raw = sys::llama4_tensor_info {
            struct_size: size_of::<sys::llama4_tensor_info>() as u32,
            ..Default::default()
        };
        // SAFETY: raw is a struct of the size that it says; its strings are copied while the model is alive.
        unsafe {
            call(|error| sys::llama4_model_get_tensor(self.raw.as_ptr(), index, &mut raw, error))?;
            Ok(TensorInfo::from_raw(&raw))
        }
    }

    /// All tensors of the model's files.
    pub fn tensors(&self) -> Result<Vec<TensorInfo>> {
        (0..self.info()?.tensors).map(|index| self.tensor(index)).collect()
    }

    /// How the model uses memory now. Contexts may be at work meanwhile.
    pub fn memory(&self) -> Result<MemoryInfo> {
        let mut raw = sys::llama4_memory_info {
            struct_size: size_of::<sys::llama4_memory_info>() as u32,
            ..Default::default()
        };
        // SAFETY: raw is a struct of the size that it says.
        call(|error| unsafe { sys::llama4_model_get_memory(self.raw.as_ptr(), &mut raw, error) })?;
        Ok(MemoryInfo::from_raw(&raw))
    }

    /// Writes which experts are in memory, the last used first, as a small file, for [`load_experts`](Model::load_experts). A model that does
    /// not stream gives [`Status::State`](crate::Status::State).
    pub fn save_experts(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = c_path(path.as_ref())?;
        // SAFETY: the model is alive, and path during the call.
        call(|error| unsafe { sys::llama4_model_save_experts(self.raw.as_ptr(), path.as_ptr(), error) })
    }

    /// Starts to read the experts that were in memory at [`save_experts`](Model::save_experts), as many as there are free slots for, in the
    /// background, and returns at once. Never changes results. For a model of another shape, or a file that is none:
    /// [`Status::Format`](crate::Status::Format); a model that does not stream gives [`Status::State`](crate::Status::State).
    pub fn load_experts(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = c_path(path.as_ref())?;
        // SAFETY: the model is alive, and path during the call.
        call(|error| unsafe { sys::llama4_model_load_experts(self.raw.as_ptr(), path.as_ptr(), error) })
    }
}

/// How to open a model or a vocabulary.
///
/// ```no_run
/// # use llama4::{CpuLevel, Model};
/// let model = Model::options()
///     .vocabulary("tokenizer.json")
///     .cpu_level(CpuLevel::Avx2)
///     .log(|level, line| eprintln!("{level:?}: {line}"))
///     .open("model.gguf")?;
/// # Ok::<(), llama4::Error>(())
/// ```
#[derive(Default)]
#[must_use]
pub struct ModelOptions<'a> {
    vocabulary: Option<PathBuf>,
    vision: Option<PathBuf>,
    cpu_level: i32,
    memory: i64,
    stream: bool,
    expert_slots: i32,
    header_only: bool,
    keep: Keep,
    progress: Option<Box<Progress<'a>>>,
}

impl fmt::Debug for ModelOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelOptions")
            .field("vocabulary", &self.vocabulary)
            .field("vision", &self.vision)
            .field("cpu_level", &CpuLevel::from_code(self.cpu_level))
            .field("memory", &self.memory)
            .field("stream", &self.stream)
            .field("expert_slots", &self.expert_slots)
            .field("header_only", &self.header_only)
            .field("log", &self.keep.log.is_some())
            .field("progress", &self.progress.is_some())
            .field("allocator", &self.keep.allocator.is_some())
            .finish()
    }
}

impl<'a> ModelOptions<'a> {
    /// The defaults.
    pub fn new() -> ModelOptions<'a> {
        ModelOptions::default()
    }

    /// A tokenizer.json, tokenizer.model or GGUF to take the vocabulary from.
    pub fn vocabulary(mut self, path: impl Into<PathBuf>) -> Self {
        self.vocabulary = Some(path.into());
        self
    }

    /// The picture encoder: a GGUF file of its own ("mmproj"), or a Hugging Face directory. A model that is itself such a directory brings its
    /// own.
    pub fn vision(mut self, path: impl Into<PathBuf>) -> Self {
        self.vision = Some(path.into());
        self
    }

    /// Caps the instruction set.
    pub fn cpu_level(mut self, level: CpuLevel) -> Self {
        self.cpu_level = level.code();
        self
    }

    /// Weights, contexts and all that they grow to shall stay within so many bytes; 0: what the machine, or the process's control group, has,
    /// less what the system needs. Experts that do not fit are read from the files when they are needed, past the system's cache, with the same
    /// results. The vocabulary and pictures come on top. If it is too little, [`Status::Memory`](crate::Status::Memory) tells what is needed;
    /// [`plan`](crate::plan) knows before.
    pub fn memory(mut self, bytes: i64) -> Self {
        self.memory = bytes;
        self
    }

    /// Reads experts when they are needed even if all would fit into memory.
    pub fn stream(mut self, yes: bool) -> Self {
        self.stream = yes;
        self
    }

    /// At most so many routed experts in memory, 2 or more; 0: as many as fit.
    pub fn expert_slots(mut self, experts: i32) -> Self {
        self.expert_slots = experts;
        self
    }

    /// Reads shapes and names only: no weights, no vocabulary; for [`Model::info`] and [`Model::tensor`].
    pub fn header_only(mut self, yes: bool) -> Self {
        self.header_only = yes;
        self
    }

    /// Receives finished lines, without a newline, from the model and everything made from it, in the thread that is inside a call.
    pub fn log(mut self, log: impl Fn(LogLevel, &str) + Send + Sync + 'static) -> Self {
        self.keep.log = Some(Arc::new(log));
        self
    }

    /// Called while opening, with a fraction that grows from 0 to 1. `Break` stops it: [`Status::Cancelled`](crate::Status::Cancelled).
    pub fn progress(mut self, progress: impl FnMut(f32) -> ControlFlow<()> + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Where the model and everything made from it take their memory. Mapped files and stacks of threads do not come from it.
    pub fn allocator(mut self, allocator: impl GlobalAlloc + Send + Sync + 'static) -> Self {
        self.keep.allocator = Some(Arc::new(allocator));
        self
    }

    /// Opens a GGUF file (any part of a split one), or a Hugging Face directory.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Model> {
        let path = c_path(path.as_ref())?;
        // SAFETY: path and params are valid during the call.
        self.make(
            |params, model, error| unsafe { sys::llama4_model_open(path.as_ptr(), params, model, error) },
            model,
        )
    }

    /// The same from an open file, for programs that may not open paths: a single GGUF file. It may be closed afterwards.
    #[cfg(unix)]
    pub fn open_file(self, file: &std::fs::File) -> Result<Model> {
        let fd = std::os::unix::io::AsRawFd::as_raw_fd(file);
        // SAFETY: fd and params are valid during the call.
        self.make(
            |params, model, error| unsafe { sys::llama4_model_open_fd(fd, params, model, error) },
            model,
        )
    }

    /// The same from the bytes of a single GGUF file, see [`Model::from_bytes`].
    pub fn open_bytes(mut self, bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Model> {
        let bytes: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::new(bytes);
        self.keep.bytes = Some(bytes.clone());
        let data: &[u8] = (*bytes).as_ref();
        // SAFETY: Keep lets go of the bytes after the last reference to the model. Until then nobody can change or move them: they are borrowed
        // from a value that only Arcs share, whose addresses are fixed.
        self.make(
            |params, model, error| unsafe {
                sys::llama4_model_open_memory(data.as_ptr().cast(), data.len(), params, model, error)
            },
            model,
        )
    }

    /// A vocabulary alone, see [`Vocab::open`]. Log and allocator are used, the rest is ignored.
    pub fn open_vocab(self, path: impl AsRef<Path>) -> Result<Vocab> {
        let path = c_path(path.as_ref())?;
        // SAFETY: path and params are valid during the call.
        self.make(
            |params, vocab, error| unsafe { sys::llama4_vocab_open(path.as_ptr(), params, vocab, error) },
            |raw, keep| Vocab { raw, keep },
        )
    }

    fn make<T, H>(
        mut self,
        open: impl FnOnce(*const sys::llama4_model_params, *mut *mut T, *mut sys::llama4_error) -> sys::llama4_status,
        wrap: impl FnOnce(NonNull<T>, Arc<Keep>) -> H,
    ) -> Result<H> {
        let keep = Arc::new(std::mem::take(&mut self.keep));
        let user = Arc::as_ptr(&keep) as *mut c_void;
        let vocabulary: Option<CString> = self.vocabulary.as_deref().map(c_path).transpose()?;
        let vision: Option<CString> = self.vision.as_deref().map(c_path).transpose()?;
        let mut params = sys::llama4_model_params {
            struct_size: size_of::<sys::llama4_model_params>() as u32,
            vocabulary_path: vocabulary.as_ref().map_or(std::ptr::null(), |path| path.as_ptr()),
            cpu_level: self.cpu_level,
            vision_path: vision.as_ref().map_or(std::ptr::null(), |path| path.as_ptr()),
            memory_bytes: self.memory,
            expert_slots: self.expert_slots,
            ..Default::default()
        };
        if self.header_only {
            params.flags |= sys::llama4_model_flags::LLAMA4_MODEL_HEADER_ONLY.0;
        }
        if self.stream {
            params.flags |= sys::llama4_model_flags::LLAMA4_MODEL_STREAM.0;
        }
        if keep.log.is_some() {
            params.log = Some(on_log);
            params.log_user = user;
        }
        if keep.allocator.is_some() {
            params.allocate = Some(on_allocate);
            params.release = Some(on_release);
            params.allocator_user = user;
        }
        if let Some(progress) = &mut self.progress {
            params.progress = Some(on_progress::<Box<Progress<'a>>>);
            params.progress_user = (progress as *mut Box<Progress<'a>>).cast();
        }
        make(|out, error| open(&params, out, error), |raw| wrap(raw, keep))
    }
}

fn model(raw: NonNull<sys::llama4_model>, keep: Arc<Keep>) -> Model {
    Model { raw, keep }
}
