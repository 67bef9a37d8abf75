//! Declarations of libllama4, generated from its header by bindgen. Everything here is as `llama4.h` says; the crate `llama4` wraps it safely.
//!
//! Constants that form a group are newtypes: `llama4_kv_value::LLAMA4_KV_F32`. Fields and arguments have the header's integer types and
//! take the number inside: `llama4_kv_value::LLAMA4_KV_F32.0`.
#![allow(non_camel_case_types)]

/// Kept apart, because what bindgen writes follows its own taste.
#[allow(
    clippy::all,
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    rustdoc::bare_urls
)]
mod bindings {
    include!("bindings.rs");
}

pub use bindings::*;
