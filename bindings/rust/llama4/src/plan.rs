//! Whether a model fits into memory and how fast it will be, before it is loaded, or even downloaded.

use std::alloc::GlobalAlloc;
use std::ffi::CStr;
use std::fmt;
use std::mem::size_of;
use std::os::raw::c_void;
use std::path::Path;
use std::sync::Arc;

use llama4_sys as sys;

use crate::error::Result;
use crate::ffi::{c_path, c_string, text_of};
use crate::flags::{Fits, KvType};
use crate::hooks::{call, on_allocate, on_release, Keep};

/// What a model needs and how it will run on this machine, from the headers of its files alone: a GGUF file, of which the first part is enough,
/// or a directory with config.json. Takes milliseconds. [`Plan::options`] has more.
///
/// ```
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../..")).unwrap();
/// let plan = llama4::plan("examples/models/llama4-tiny.gguf")?;
/// assert_eq!(plan.fits, llama4::Fits::Whole);
/// # Ok::<(), llama4::Error>(())
/// ```
pub fn plan(path: impl AsRef<Path>) -> Result<Plan> {
    PlanOptions::new().plan(path)
}

/// What a model needs and how it will run. Rates are `None` where they are unknown.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// Whether it runs in `memory_bytes`.
    pub fits: Fits,
    /// Of the model only totals were announced.
    pub guessed_shape: bool,
    /// Files that are absent, or cut off behind their headers.
    pub missing_files: i32,
    /// That the model may use.
    pub memory_bytes: i64,
    /// With fewer it cannot run.
    pub least_bytes: i64,
    /// With as many all weights stay in memory.
    pub whole_bytes: i64,
    /// Of the text model's tensors, as stored.
    pub weight_bytes: i64,
    /// Of those, not known from headers: shapes follow from the others, types probably.
    pub estimated_bytes: i64,
    /// Of weights that are always in memory.
    pub resident_bytes: i64,
    /// For routed experts: what the rest leaves, or all of them; 0 if it does not fit.
    pub pool_bytes: i64,
    /// Of keys and values when the sequence is full.
    pub kv_bytes: i64,
    /// Of intermediate results, vocabulary and tables.
    pub scratch_bytes: i64,
    /// Of the largest routed expert.
    pub expert_bytes: i64,
    /// Routed experts, of all layers together.
    pub experts: i64,
    /// Of those, how many the pool holds.
    pub cached_experts: i64,
    /// Positions of the sequence.
    pub context_length: i64,
    /// Parameters of the text model.
    pub parameters: i64,
    /// Parameters used for one token.
    pub active_parameters: i64,
    /// Bytes of weights per second that one token's products get through.
    pub memory_rate: Option<f64>,
    /// Operations per second of a prompt's products; a multiplication and an addition are two.
    pub compute_rate: Option<f64>,
    /// Bytes per second read from the file past the system's cache.
    pub disk_rate: Option<f64>,
    /// Tokens per second one by one, in the beginning of a sequence.
    pub decode_rate: Option<f64>,
    /// The same at its end.
    pub full_decode_rate: Option<f64>,
    /// Tokens per second of a prompt.
    pub prefill_rate: Option<f64>,
    /// As the file gives it, or empty.
    pub name: String,
    /// The type that most weight bytes have, such as "Q8_0".
    pub tensor_type: String,
}

impl Plan {
    /// More ways to plan.
    pub fn options() -> PlanOptions {
        PlanOptions::new()
    }

    fn from_raw(raw: &sys::llama4_plan_result) -> Plan {
        let rate = |number: f64| (number > 0.0).then_some(number);
        Plan {
            fits: Fits::from_code(raw.fits),
            guessed_shape: raw.guessed_shape != 0,
            missing_files: raw.missing_files,
            memory_bytes: raw.memory_bytes,
            least_bytes: raw.least_bytes,
            whole_bytes: raw.whole_bytes,
            weight_bytes: raw.weight_bytes,
            estimated_bytes: raw.estimated_bytes,
            resident_bytes: raw.resident_bytes,
            pool_bytes: raw.pool_bytes,
            kv_bytes: raw.kv_bytes,
            scratch_bytes: raw.scratch_bytes,
            expert_bytes: raw.expert_bytes,
            experts: raw.experts,
            cached_experts: raw.cached_experts,
            context_length: raw.context_length,
            parameters: raw.parameters,
            active_parameters: raw.active_parameters,
            memory_rate: rate(raw.memory_rate),
            compute_rate: rate(raw.compute_rate),
            disk_rate: rate(raw.disk_rate),
            decode_rate: rate(raw.decode_rate),
            full_decode_rate: rate(raw.full_decode_rate),
            prefill_rate: rate(raw.prefill_rate),
            name: text_of(&raw.name),
            tensor_type: text_of(&raw.type_),
        }
    }
}

/// What to plan for. Zeros are the defaults.
///
/// ```
/// let plan = llama4::Plan::options().memory(24 << 30).plan_shape("scout")?;
/// println!("{} of {} experts in memory", plan.cached_experts, plan.experts);
/// # assert_eq!(plan.fits, llama4::Fits::Streamed);
/// # Ok::<(), llama4::Error>(())
/// ```
#[derive(Default)]
#[must_use]
pub struct PlanOptions {
    tensor_type: Option<String>,
    memory: i64,
    context_length: i64,
    batch_size: i32,
    threads: i32,
    kv_type: i32,
    measure: bool,
    rates: [f64; 3],
    keep: Keep,
}

impl fmt::Debug for PlanOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanOptions")
            .field("tensor_type", &self.tensor_type)
            .field("memory", &self.memory)
            .field("context_length", &self.context_length)
            .field("batch_size", &self.batch_size)
            .field("threads", &self.threads)
            .field("kv_type", &KvType::from_code(self.kv_type))
            .field("measure", &self.measure)
            .field("rates", &self.rates)
            .field("allocator", &self.keep.allocator.is_some())
            .finish()
    }
}

impl PlanOptions {
    /// The defaults.
    pub fn new() -> PlanOptions {
        PlanOptions::default()
    }

    /// The type of tensors that no file at hand tells of, as for [`Convert::tensor_type`](crate::Convert::tensor_type); "q4_0" for shapes.
    pub fn tensor_type(mut self, name: impl Into<String>) -> Self {
        self.tensor_type = Some(name.into());
        self
    }

    /// Bytes to stay within, as in [`ModelOptions::memory`](crate::ModelOptions::memory).
    pub fn memory(mut self, bytes: i64) -> Self {
        self.memory = bytes;
        self
    }

    /// Positions of one sequence; 0: 8192, or fewer if the model was made for fewer.
    pub fn context_length(mut self, positions: i64) -> Self {
        self.context_length = positions;
        self
    }

    /// Tokens of the prompt that [`Plan::prefill_rate`] is about, 1 to 8192; 0: 512.
    pub fn batch_size(mut self, tokens: i32) -> Self {
        self.batch_size = tokens;
        self
    }

    /// Number of threads; 0: one per processor.
    pub fn threads(mut self, threads: i32) -> Self {
        self.threads = threads;
        self
    }

    /// How keys and values are kept.
    pub fn kv_type(mut self, kind: KvType) -> Self {
        self.kv_type = kind.code();
        self
    }

    /// Finds out the rates of this machine that are not given, in less than 2 seconds, with 300 MB of memory.
    pub fn measure(mut self, yes: bool) -> Self {
        self.measure = yes;
        self
    }

    /// [`Plan::memory_rate`] of an earlier measurement; 0: unknown.
    pub fn memory_rate(mut self, bytes_per_second: f64) -> Self {
        self.rates[0] = bytes_per_second;
        self
    }

    /// [`Plan::compute_rate`] of an earlier measurement; 0: unknown.
    pub fn compute_rate(mut self, operations_per_second: f64) -> Self {
        self.rates[1] = operations_per_second;
        self
    }

    /// [`Plan::disk_rate`] of an earlier measurement; 0: unknown.
    pub fn disk_rate(mut self, bytes_per_second: f64) -> Self {
        self.rates[2] = bytes_per_second;
        self
    }

    /// Where memory comes from.
    pub fn allocator(mut self, allocator: impl GlobalAlloc + Send + Sync + 'static) -> Self {
        self.keep.allocator = Some(Arc::new(allocator));
        self
    }

    /// Plans for a GGUF file, of which the first part is enough, or a directory with config.json.
    pub fn plan(self, path: impl AsRef<Path>) -> Result<Plan> {
        let path = c_path(path.as_ref())?;
        self.make(Some(&path), None)
    }

    /// Plans without a file: for "scout", "maverick" or "behemoth".
    pub fn plan_shape(self, shape: &str) -> Result<Plan> {
        let shape = c_string(shape, "the shape")?;
        self.make(None, Some(&shape))
    }

    fn make(self, path: Option<&CStr>, shape: Option<&CStr>) -> Result<Plan> {
        let tensor_type = self.tensor_type.map(|name| c_string(name, "the tensor type")).transpose()?;
        let mut params = sys::llama4_plan_params {
            struct_size: size_of::<sys::llama4_plan_params>() as u32,
            shape: shape.map_or(std::ptr::null(), CStr::as_ptr),
            type_: tensor_type.as_ref().map_or(std::ptr::null(), |name| name.as_ptr()),
            memory_bytes: self.memory,
            context_length: self.context_length,
            batch_size: self.batch_size,
            threads: self.threads,
            kv_type: self.kv_type,
            memory_rate: self.rates[0],
            compute_rate: self.rates[1],
            disk_rate: self.rates[2],
            ..Default::default()
        };
        if self.measure {
            params.flags |= sys::llama4_plan_flags::LLAMA4_PLAN_MEASURE.0;
        }
        if self.keep.allocator.is_some() {
            params.allocate = Some(on_allocate);
            params.release = Some(on_release);
            params.allocator_user = &self.keep as *const Keep as *mut c_void;
        }
        let mut raw = sys::llama4_plan_result {
            struct_size: size_of::<sys::llama4_plan_result>() as u32,
            ..Default::default()
        };
        let path = path.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: all that params points to lives until the end of this function; raw is a struct of the size that it says.
        call(|error| unsafe { sys::llama4_plan(path, &params, &mut raw, error) })?;
        Ok(Plan::from_raw(&raw))
    }
}
