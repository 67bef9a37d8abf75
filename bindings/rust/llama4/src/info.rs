//! What models, tensors and contexts say about themselves.

use std::ffi::CStr;

use llama4_sys as sys;

use crate::ffi::text_of;
use crate::flags::{CpuLevel, KvType, TensorPath};

/// A model's shape.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Transformer blocks.
    pub layers: i32,
    /// Width of the residual stream.
    pub embedding_length: i32,
    /// Query heads.
    pub heads: i32,
    /// Key and value heads.
    pub kv_heads: i32,
    /// Numbers per head.
    pub head_length: i32,
    /// Hidden width of dense layers; 0: there are none.
    pub feed_forward_length: i32,
    /// Hidden width of an expert; 0: there are none.
    pub expert_feed_forward_length: i32,
    /// Routed experts per mixture layer; 0: a dense model.
    pub experts: i32,
    /// Experts per token.
    pub experts_used: i32,
    /// Number of mixture-of-experts layers.
    pub moe_layers: i32,
    /// Number of layers with rotary positions; the others see the whole context.
    pub rope_layers: i32,
    /// Positions that layers with rotary positions see together; 0: all.
    pub chunk_size: i32,
    /// Rows of the output matrix: ids that [`Context::logits`](crate::Context::logits) speaks of.
    pub vocab_size: i32,
    /// Positions that the model was made for.
    pub context_length: i64,
    /// Parameters of the text model.
    pub parameters: i64,
    /// Parameters used for one token.
    pub active_parameters: i64,
    /// Bytes of all tensors in the files.
    pub tensor_bytes: i64,
    /// Number of tensors.
    pub tensors: i32,
    /// Number of files that hold them.
    pub files: i32,
    /// Queries and keys are normalised in layers with rotary positions.
    pub qk_norm: bool,
    /// The files carry a vocabulary, even when it was not loaded.
    pub has_vocabulary: bool,
    /// Frequency base of rotary positions.
    pub rope_base: f32,
    /// Largest divisor of the frequencies; 1: no scaling.
    pub rope_factor: f32,
    /// Attention temperature in layers without rotary positions; 0: off.
    pub temperature_scale: f32,
    /// Positions per step of that temperature.
    pub temperature_length: i32,
    /// Epsilon of the norms.
    pub norm_epsilon: f32,
    /// Such as "GGUF v3" or "safetensors".
    pub format: String,
    /// As the file gives it, or empty.
    pub name: String,
    /// The type that most weight bytes have, such as "Q8_0".
    pub tensor_type: String,
    /// Blocks of the picture encoder; 0: there is none.
    pub vision_layers: i32,
    /// Width of its residual stream.
    pub vision_width: i32,
    /// Its attention heads.
    pub vision_heads: i32,
    /// Its hidden width.
    pub vision_feed_forward_length: i32,
    /// Pixels along a tile's side.
    pub tile_size: i32,
    /// Pixels along the side of what becomes one token of the encoder.
    pub patch_size: i32,
    /// Embeddings that a tile becomes.
    pub tile_tokens: i32,
    /// Tiles of a picture, besides the one that shows the whole.
    pub max_tiles: i32,
    /// Parameters of the picture encoder.
    pub vision_parameters: i64,
}

impl ModelInfo {
    pub(crate) fn from_raw(raw: &sys::llama4_model_info) -> ModelInfo {
        ModelInfo {
            layers: raw.layers,
            embedding_length: raw.embedding_length,
            heads: raw.heads,
            kv_heads: raw.kv_heads,
            head_length: raw.head_length,
            feed_forward_length: raw.feed_forward_length,
            expert_feed_forward_length: raw.expert_feed_forward_length,
            experts: raw.experts,
            experts_used: raw.experts_used,
            moe_layers: raw.moe_layers,
            rope_layers: raw.rope_layers,
            chunk_size: raw.chunk_size,
            vocab_size: raw.vocab_size,
            context_length: raw.context_length,
            parameters: raw.parameters,
            active_parameters: raw.active_parameters,
            tensor_bytes: raw.tensor_bytes,
            tensors: raw.tensors,
            files: raw.files,
            qk_norm: raw.qk_norm != 0,
            has_vocabulary: raw.has_vocabulary != 0,
            rope_base: raw.rope_base,
            rope_factor: raw.rope_factor,
            temperature_scale: raw.temperature_scale,
            temperature_length: raw.temperature_length,
            norm_epsilon: raw.norm_epsilon,
            format: text_of(&raw.format),
            name: text_of(&raw.name),
            tensor_type: text_of(&raw.type_),
            vision_layers: raw.vision_layers,
            vision_width: raw.vision_width,
            vision_heads: raw.vision_heads,
            vision_feed_forward_length: raw.vision_feed_forward_length,
            tile_size: raw.tile_size,
            patch_size: raw.patch_size,
            tile_tokens: raw.tile_tokens,
            max_tiles: raw.max_tiles,
            vision_parameters: raw.vision_parameters,
        }
    }
}

/// One tensor of a model's files, as stored there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Fastest-changing first; 1 to 4 numbers.
    pub dims: Vec<i64>,
    /// Its size.
    pub bytes: i64,
    /// In its file, from the start.
    pub offset: i64,
    /// Number of the file, from 0.
    pub file: i32,
    /// Such as "Q4_0".
    pub type_name: String,
    /// GGUF's number of the type.
    pub type_code: i32,
    /// How it takes part in computing text.
    pub path: TensorPath,
}

impl TensorInfo {
    /// # Safety
    /// `raw` comes from a model that is alive.
    pub(crate) unsafe fn from_raw(raw: &sys::llama4_tensor_info) -> TensorInfo {
        // SAFETY: the model, which the caller keeps alive, owns both strings.
        let (name, type_name) = unsafe { (CStr::from_ptr(raw.name), CStr::from_ptr(raw.type_name)) };
        TensorInfo {
            name: name.to_string_lossy().into_owned(),
            dims: raw.dims.iter().copied().take(raw.n_dims.max(0) as usize).collect(),
            bytes: raw.bytes,
            offset: raw.offset,
            file: raw.file,
            type_name: type_name.to_string_lossy().into_owned(),
            type_code: raw.type_,
            path: TensorPath::from_code(raw.path),
        }
    }
}

/// What a model's weights take, and how its experts come into memory. Counts start when the model is opened; where experts are not streamed,
/// those from `expert_bytes` on are 0.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct MemoryInfo {
    /// Experts are read when they are needed; otherwise all weights are in memory.
    pub streaming: bool,
    /// The budget, if there is one.
    pub limit_bytes: Option<i64>,
    /// Of it now, contexts included; 0 without a budget.
    pub used_bytes: i64,
    /// Weights that stay in memory.
    pub resident_bytes: i64,
    /// That a routed expert takes in memory.
    pub expert_bytes: i64,
    /// Routed experts of all layers.
    pub expert_count: i64,
    /// Of those in memory now, or on their way.
    pub expert_slots: i64,
    /// Experts that batches needed; an expert counts once for each batch and layer.
    pub requests: i64,
    /// Of those, in memory when they were asked for.
    pub hits: i64,
    /// Experts read before they were asked for.
    pub read_ahead: i64,
    /// Of those, given up without having been used.
    pub wasted: i64,
    /// From the files since they were opened, resident weights included.
    pub bytes_read: i64,
    /// Time in which something was being read.
    pub read_seconds: f64,
    /// Time that decoding waited for experts.
    pub wait_seconds: f64,
    /// Reads go past the system's cache; otherwise the file system refuses that.
    pub direct: bool,
}

impl MemoryInfo {
    pub(crate) fn from_raw(raw: &sys::llama4_memory_info) -> MemoryInfo {
        MemoryInfo {
            streaming: raw.streaming != 0,
            limit_bytes: (raw.limit_bytes != 0).then_some(raw.limit_bytes),
            used_bytes: raw.used_bytes,
            resident_bytes: raw.resident_bytes,
            expert_bytes: raw.expert_bytes,
            expert_count: raw.expert_count,
            expert_slots: raw.expert_slots,
            requests: raw.requests,
            hits: raw.hits,
            read_ahead: raw.read_ahead,
            wasted: raw.wasted,
            bytes_read: raw.bytes_read,
            read_seconds: raw.read_seconds,
            wait_seconds: raw.wait_seconds,
            direct: raw.direct != 0,
        }
    }

    /// The share of requests that found their expert in memory, once something was asked for.
    pub fn hit_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.hits as f64 / self.requests as f64)
    }
}

/// What a context is and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContextInfo {
    /// Threads in use.
    pub threads: i32,
    /// Positions per sequence.
    pub context_length: i64,
    /// Held by keys and values now.
    pub kv_bytes: i64,
    /// Held by intermediate results and logits now.
    pub scratch_bytes: i64,
    /// Tokens computed together.
    pub batch_size: i32,
    /// Number of sequences.
    pub sequences: i32,
    /// How keys and values are kept.
    pub kv_type: KvType,
    /// The instruction set in use.
    pub cpu_level: CpuLevel,
}

impl ContextInfo {
    pub(crate) fn from_raw(raw: &sys::llama4_context_info) -> ContextInfo {
        ContextInfo {
            threads: raw.threads,
            context_length: raw.context_length,
            kv_bytes: raw.kv_bytes,
            scratch_bytes: raw.scratch_bytes,
            batch_size: raw.batch_size,
            sequences: raw.sequences,
            kv_type: KvType::from_code(raw.kv_type),
            cpu_level: CpuLevel::from_code(raw.cpu_level),
        }
    }
}
