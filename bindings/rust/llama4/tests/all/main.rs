//! Tests of the wrapper on llama4-tiny and the golden files. One program, so that valgrind and AddressSanitizer have one to run.
//!
//! `LLAMA4_PROGRAM` names the `llama4` program to compare with; without it that comparison says that it was skipped.
//! `LLAMA4_SLOW` makes some tests do less, for valgrind.

mod cancel;
mod context;
mod errors;
mod generate;
mod golden;
mod hooks;
mod lifetimes;
mod memory;
mod pictures;
mod send_sync;
mod support;
mod text;
mod version;
