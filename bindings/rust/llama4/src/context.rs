//! The state of running sequences.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::size_of;
use std::ops::ControlFlow;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use llama4_sys as sys;

use crate::error::{check, Error, Result, Status};
use crate::ffi::fill;
use crate::flags::KvType;
use crate::hooks::{call, make, on_progress, Keep};
use crate::info::ContextInfo;
use crate::model::Model;
use crate::Token;

type OwnProgress = Box<dyn FnMut(f32) -> ControlFlow<()> + Send>;

/// Where the progress of the next call begins and how much of the whole work it is: bits of two floats.
type Share = Arc<[AtomicU32; 2]>;

/// The state of running sequences: what was decoded so far, and the threads that go on with it, which sleep while no call is under way.
///
/// It may move to another thread, but not be shared; [`cancel_handle`](Context::cancel_handle) is what other threads may have:
///
/// ```compile_fail,E0277
/// fn share<T: Sync>() {}
/// share::<llama4::Context>();
/// ```
///
/// Logits are the library's own memory, without a copy. They cannot outlive the next call that changes the context:
///
/// ```compile_fail,E0502
/// # fn f(mut context: llama4::Context, items: &[llama4::BatchItem]) -> llama4::Result<()> {
/// let logits = context.logits(0)?;
/// context.decode(items)?;
/// println!("{}", logits[0]);
/// # Ok(()) }
/// ```
pub struct Context {
    pub(crate) shared: Arc<Shared>,
    length: i64,
    not_sync: PhantomData<Cell<()>>,
}

/// The library's object. Cancel handles know it weakly and hold it only while they use it.
pub(crate) struct Shared {
    pub raw: NonNull<sys::llama4_context>,
    /// From Box::into_raw; the library calls it.
    progress: Option<NonNull<OwnProgress>>,
    share: Share,
    keep: Arc<Keep>,
}

// SAFETY: a context may move between threads, says the header; the closure is Send, and Keep is Send and Sync. Only Context, which is not
// Sync, hands the object to more than llama4_context_cancel, and that may be called from any thread at any time.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: this is the last owner. The closure goes once nothing can call it, Keep after that.
        unsafe {
            sys::llama4_context_release(self.raw.as_ptr());
            if let Some(progress) = self.progress {
                drop(Box::from_raw(progress.as_ptr()));
            }
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(&self.shared.raw).finish()
    }
}

/// Stops a context's decode from any thread. It does not keep the context alive.
#[derive(Clone)]
pub struct CancelHandle(Weak<Shared>);

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle")
            .field("alive", &(self.0.strong_count() > 0))
            .finish()
    }
}

impl CancelHandle {
    /// Makes the decode that runs in another thread (or else the next one) return [`Status::Cancelled`] soon. Returns false when the
    /// context was dropped already. Takes no lock.
    pub fn cancel(&self) -> bool {
        match self.0.upgrade() {
            // SAFETY: alive while `shared` is; the one call that any thread may make.
            Some(shared) => unsafe { sys::llama4_context_cancel(shared.raw.as_ptr()) },
            None => return false,
        }
        true
    }
}

/// One token to compute.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct BatchItem(sys::llama4_batch_item);

impl BatchItem {
    /// A token that continues a sequence.
    pub const fn new(token: Token, sequence: i32) -> BatchItem {
        BatchItem(sys::llama4_batch_item {
            token,
            sequence,
            position: -1,
            logits: 0,
            reserved: 0,
        })
    }

    /// Its logits are kept for [`Context::logits`].
    #[must_use]
    pub const fn with_logits(mut self) -> BatchItem {
        self.0.logits = 1;
        self
    }

    /// Its position, which must be the next one of its sequence; otherwise the library counts.
    #[must_use]
    pub const fn at(mut self, position: i64) -> BatchItem {
        self.0.position = position;
        self
    }
}

impl fmt::Debug for BatchItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchItem")
            .field("token", &self.0.token)
            .field("sequence", &self.0.sequence)
            .field("position", &self.0.position)
            .field("logits", &(self.0.logits != 0))
            .finish()
    }
}

impl Context {
    /// A context with the defaults: as many positions as the model was made for, 64 sequences, one thread per processor.
    pub fn new(model: &Model) -> Result<Context> {
        ContextOptions::new().create(model)
    }

    /// More ways to make a context.
    pub fn options() -> ContextOptions {
        ContextOptions::new()
    }

    pub(crate) fn raw(&self) -> *mut sys::llama4_context {
        self.shared.raw.as_ptr()
    }

    pub(crate) fn keep(&self) -> &Arc<Keep> {
        &self.shared.keep
    }

    /// From now on progress begins there, and covers so much.
    pub(crate) fn share_progress(&self, from: f32, span: f32) {
        self.shared.share[0].store(from.to_bits(), Ordering::Relaxed);
        self.shared.share[1].store(span.to_bits(), Ordering::Relaxed);
    }

    /// Positions per sequence.
    pub(crate) fn length(&self) -> i64 {
        self.length
    }

    /// The context's model.
    pub fn model(&self) -> Model {
        // SAFETY: the context is alive and owns its model, which is never NULL; the new handle becomes one more owner.
        unsafe {
            Model::share(
                NonNull::new_unchecked(sys::llama4_context_get_model(self.raw())),
                &self.shared.keep,
            )
        }
    }

    /// What the context is and holds.
    pub fn info(&self) -> Result<ContextInfo> {
        let mut raw = sys::llama4_context_info {
            struct_size: size_of::<sys::llama4_context_info>() as u32,
            ..Default::default()
        };
        // SAFETY: raw is a struct of the size that it says.
        check(|error| unsafe { sys::llama4_context_get_info(self.raw(), &mut raw, error) })?;
        Ok(ContextInfo::from_raw(&raw))
    }

    /// How the context's tokens were routed: of those computed so far, how many went to each routed expert of a layer, from 0 to
    /// [`layers`](crate::ModelInfo::layers) - 1. All 0 for a dense layer.
    pub fn expert_counts(&self, layer: i32) -> Result<Vec<u64>> {
        // SAFETY: the context is alive; counts are valid for their capacity.
        fill(128, |counts, capacity, count, error| unsafe {
            sys::llama4_context_get_expert_counts(self.raw(), layer, counts, capacity, count, error)
        })
    }

    /// Computes tokens and appends them to their sequences. Any mix of sequences may share a batch, of any size; a token's result never
    /// depends on what else the batch holds, nor on the number of threads. A call that fails or is cancelled leaves every sequence as it
    /// was; logits of earlier calls are gone.
    #[inline]
    pub fn decode(&mut self, items: &[BatchItem]) -> Result<()> {
        // SAFETY: a BatchItem is a llama4_batch_item; the context is ours alone.
        call(|error| unsafe {
            sys::llama4_context_decode(self.raw(), items.as_ptr().cast(), items.len(), size_of::<BatchItem>(), error)
        })
    }

    /// [`decode`](Context::decode), with rows of embeddings among the tokens: each item whose token is -1, or the vocabulary's `<|patch|>`, takes
    /// the next row of [`embedding_length`](crate::ModelInfo::embedding_length) numbers.
    pub fn decode_embeddings(&mut self, items: &[BatchItem], embeddings: &[f32]) -> Result<()> {
        // SAFETY: as above; embeddings are valid for their length.
        call(|error| unsafe {
            sys::llama4_context_decode_embeddings(
                self.raw(),
                items.as_ptr().cast(),
                items.len(),
                size_of::<BatchItem>(),
                embeddings.as_ptr(),
                embeddings.len(),
                error,
            )
        })
    }

    /// Appends tokens to a sequence and returns the logits of the last one.
    pub fn append(&mut self, sequence: i32, tokens: &[Token]) -> Result<&[f32]> {
        self.append_with(sequence, tokens, &[])
    }

    pub(crate) fn append_with(&mut self, sequence: i32, tokens: &[Token], embeddings: &[f32]) -> Result<&[f32]> {
        if let ([token], true) = (tokens, embeddings.is_empty()) {
            self.decode(&[BatchItem::new(*token, sequence).with_logits()])?;
        } else {
            let mut items: Vec<BatchItem> = tokens.iter().map(|token| BatchItem::new(*token, sequence)).collect();
            if let Some(last) = items.last_mut() {
                *last = last.with_logits();
            }
            if embeddings.is_empty() {
                self.decode(&items)?;
            } else {
                self.decode_embeddings(&items, embeddings)?;
            }
        }
        self.logits(tokens.len() - 1)
    }

    /// The logits of one item of the last decode, one number per id; it must have asked for them.
    #[inline]
    pub fn logits(&self, item: usize) -> Result<&[f32]> {
        let (mut logits, mut count) = (std::ptr::null(), 0);
        // SAFETY: the library keeps the logits until the next call that changes the context; all of those take it mutably.
        unsafe {
            check(|error| sys::llama4_context_logits(self.raw(), item, &mut logits, &mut count, error))?;
            Ok(std::slice::from_raw_parts(logits, count))
        }
    }

    /// What stops this context from another thread.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle(Arc::downgrade(&self.shared))
    }

    /// Positions that a sequence holds: its next position. `None` for an id out of range.
    pub fn sequence_length(&self, sequence: i32) -> Option<i64> {
        // SAFETY: the context is alive; any id will do.
        let length = unsafe { sys::llama4_context_sequence_length(self.raw(), sequence) };
        (length >= 0).then_some(length)
    }

    /// Shortens a sequence to its first positions; 0 empties it. Layers with rotary positions keep the current chunk only, so lengths before
    /// its start, other than 0, give [`Status::State`].
    pub fn truncate(&mut self, sequence: i32, length: i64) -> Result<()> {
        // SAFETY: the context is ours alone.
        call(|error| unsafe { sys::llama4_context_truncate(self.raw(), sequence, length, error) })
    }

    /// Makes sequence `to` a copy of `from`, sharing memory until they differ: a cheap way to reuse a common prompt. What `to` held is
    /// dropped.
    pub fn fork(&mut self, from: i32, to: i32) -> Result<()> {
        // SAFETY: the context is ours alone.
        call(|error| unsafe { sys::llama4_context_fork(self.raw(), from, to, error) })
    }
}

/// How to make a [`Context`]. Zeros are the defaults.
#[derive(Default)]
#[must_use]
pub struct ContextOptions {
    context_length: i64,
    threads: i32,
    batch_size: i32,
    sequences: i32,
    kv_type: i32,
    progress: Option<OwnProgress>,
}

impl fmt::Debug for ContextOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextOptions")
            .field("context_length", &self.context_length)
            .field("threads", &self.threads)
            .field("batch_size", &self.batch_size)
            .field("sequences", &self.sequences)
            .field("kv_type", &KvType::from_code(self.kv_type))
            .field("progress", &self.progress.is_some())
            .finish()
    }
}

impl ContextOptions {
    /// The defaults.
    pub fn new() -> ContextOptions {
        ContextOptions::default()
    }

    /// Positions per sequence; 0: as the model was made for. They cost nothing until used.
    pub fn context_length(mut self, positions: i64) -> Self {
        self.context_length = positions;
        self
    }

    /// Number of threads; 0: one per processor that this process may use, at most 64.
    pub fn threads(mut self, threads: i32) -> Self {
        self.threads = threads;
        self
    }

    /// Tokens computed together, 1 to 8192; 0: 2048, or 4096 when experts are streamed. More is faster and needs more memory: with a budget, fewer
    /// may be taken.
    pub fn batch_size(mut self, tokens: i32) -> Self {
        self.batch_size = tokens;
        self
    }

    /// Independent sequences, with ids from 0; 0: 64.
    pub fn sequences(mut self, sequences: i32) -> Self {
        self.sequences = sequences;
        self
    }

    /// How keys and values are kept.
    pub fn kv_type(mut self, kind: KvType) -> Self {
        self.kv_type = kind.code();
        self
    }

    /// Called while pictures are encoded and during decodes of more than one token, with a fraction that grows from 0 to 1; every layer is a step. `Break` cancels the
    /// decode.
    pub fn progress(mut self, progress: impl FnMut(f32) -> ControlFlow<()> + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Makes the context, which holds on to the model.
    pub fn create(mut self, model: &Model) -> Result<Context> {
        let mut params = sys::llama4_context_params {
            struct_size: size_of::<sys::llama4_context_params>() as u32,
            context_length: self.context_length,
            threads: self.threads,
            batch_size: self.batch_size,
            sequences: self.sequences,
            kv_type: self.kv_type,
            ..Default::default()
        };
        let share: Share = Arc::new([AtomicU32::new(0), AtomicU32::new(1f32.to_bits())]);
        let mut progress = self.progress.take().map(|mut progress| {
            let share = share.clone();
            let part = move |i: usize| f32::from_bits(share[i].load(Ordering::Relaxed));
            Box::new(Box::new(move |fraction| progress(part(0) + part(1) * fraction)) as OwnProgress)
        });
        if let Some(progress) = &mut progress {
            params.progress = Some(on_progress::<OwnProgress>);
            params.progress_user = (&mut **progress as *mut OwnProgress).cast();
        }
        let mut context = make(
            // SAFETY: the model is alive; the library takes a reference of its own.
            |out, error| unsafe { sys::llama4_context_create(model.raw.as_ptr(), &params, out, error) },
            |raw| {
                let progress = progress.map(|progress| NonNull::from(Box::leak(progress)));
                let shared = Shared {
                    raw,
                    progress,
                    share,
                    keep: model.keep.clone(),
                };
                Context {
                    shared: Arc::new(shared),
                    length: 0,
                    not_sync: PhantomData,
                }
            },
        )?;
        context.length = context.info()?.context_length;
        Ok(context)
    }
}

/// Sequence ids and such come from callers; this one is for what has no number in the library.
pub(crate) fn no_sequence(sequence: i32) -> Error {
    Error::new(
        Status::Argument,
        format!("sequence {} does not exist in this context", sequence),
    )
}
