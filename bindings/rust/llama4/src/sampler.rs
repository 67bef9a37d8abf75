//! Logits to the next token.

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use llama4_sys as sys;

use crate::error::Result;
use crate::hooks::{call, make, Keep};
use crate::model::Model;
use crate::Token;

/// A chain of steps, applied in the order in which they were added. An empty chain, or one that ends greedy, takes the most likely token (the
/// lowest id among equals); any other draws from what the steps left. The same seed, steps and logits give the same tokens on every machine.
///
/// ```
/// # use llama4::{Model, Sampler};
/// # let model = Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../examples/models/llama4-tiny.gguf"))?;
/// let mut sampler = Sampler::builder().temperature(0.6).top_p(0.9).seed(7).build(&model)?;
/// let token = sampler.sample(&[0.0, 9.0, 1.0])?;
/// assert!(token < 3);
/// # Ok::<(), llama4::Error>(())
/// ```
///
/// It may move to another thread, but not be shared:
///
/// ```compile_fail,E0277
/// fn share<T: Sync>() {}
/// share::<llama4::Sampler>();
/// ```
pub struct Sampler {
    pub(crate) raw: NonNull<sys::llama4_sampler>,
    _keep: Arc<Keep>,
}

// SAFETY: "A context, a sampler and a detokenizer may move between threads but belong to one at a time", says the header.
unsafe impl Send for Sampler {}

impl Drop for Sampler {
    fn drop(&mut self) {
        // SAFETY: this handle is the only owner. Keep goes after it.
        unsafe { sys::llama4_sampler_release(self.raw.as_ptr()) }
    }
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sampler").field(&self.raw).finish()
    }
}

impl Sampler {
    /// A chain of steps to be filled.
    pub fn builder() -> SamplerBuilder {
        SamplerBuilder::default()
    }

    /// Always the most likely token.
    pub fn greedy(model: &Model) -> Result<Sampler> {
        Sampler::builder().build(model)
    }

    /// Starts the random numbers again from a seed; the steps stay.
    pub fn reset(&mut self, seed: u64) -> Result<()> {
        // SAFETY: the sampler is alive and ours.
        call(|error| unsafe { sys::llama4_sampler_reset(self.raw.as_ptr(), seed, error) })
    }

    /// Draws a token: an index into `logits`, which are not changed. NaN counts as impossible; that nothing is possible is an error.
    pub fn sample(&mut self, logits: &[f32]) -> Result<Token> {
        let mut token = 0;
        // SAFETY: logits are valid for their length.
        call(|error| unsafe { sys::llama4_sampler_sample(self.raw.as_ptr(), logits.as_ptr(), logits.len(), &mut token, error) })?;
        Ok(token)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Greedy,
    Temperature(f32),
    TopK(i32),
    TopP(f32),
    MinP(f32),
}

/// The steps of a [`Sampler`], in order. Without any it is greedy.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct SamplerBuilder {
    seed: u64,
    steps: Vec<Step>,
}

impl SamplerBuilder {
    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Where the random numbers start; 0 if it is not given.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Only the most likely token remains.
    pub fn greedy(self) -> Self {
        self.step(Step::Greedy)
    }

    /// Logits are divided by a number, finite and at least 0; 0 is greedy. Meta's default is 0.6.
    pub fn temperature(self, temperature: f32) -> Self {
        self.step(Step::Temperature(temperature))
    }

    /// Only the `k` most likely tokens remain; 0 keeps all.
    pub fn top_k(self, k: i32) -> Self {
        self.step(Step::TopK(k))
    }

    /// Tokens remain, most likely first, while the probability before them is at most `p` (0 to 1), as in Meta's code. The most likely
    /// one always remains. Meta's default is 0.9.
    pub fn top_p(self, p: f32) -> Self {
        self.step(Step::TopP(p))
    }

    /// Tokens remain whose probability is at least `p` (0 to 1) times that of the most likely one.
    pub fn min_p(self, p: f32) -> Self {
        self.step(Step::MinP(p))
    }

    /// A sampler for this model's tokens. The numbers of the steps are checked here.
    pub fn build(&self, model: &Model) -> Result<Sampler> {
        let sampler = make(
            // SAFETY: the model is alive; the library takes a reference of its own.
            |out, error| unsafe { sys::llama4_sampler_create(model.raw.as_ptr(), self.seed, out, error) },
            |raw| Sampler {
                raw,
                _keep: model.keep.clone(),
            },
        )?;
        let raw = sampler.raw.as_ptr();
        for step in &self.steps {
            // SAFETY: the sampler is alive and ours.
            call(|error| unsafe {
                match *step {
                    Step::Greedy => sys::llama4_sampler_add_greedy(raw, error),
                    Step::Temperature(t) => sys::llama4_sampler_add_temperature(raw, t, error),
                    Step::TopK(k) => sys::llama4_sampler_add_top_k(raw, k, error),
                    Step::TopP(p) => sys::llama4_sampler_add_top_p(raw, p, error),
                    Step::MinP(p) => sys::llama4_sampler_add_min_p(raw, p, error),
                }
            })?;
        }
        Ok(sampler)
    }
}
