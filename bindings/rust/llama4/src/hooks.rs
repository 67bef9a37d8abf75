//! Closures, allocators and bytes that the library holds on to, and what happens when a closure panics.
//!
//! `Keep` is shared by everything that is made from a model: each handle gives the library's object back first and lets go of `Keep` last, so
//! that log, allocator and bytes outlive the last object that may use them.

use std::alloc::{GlobalAlloc, Layout};
use std::any::Any;
use std::cell::RefCell;
use std::ffi::CStr;
use std::ops::ControlFlow;
use std::os::raw::{c_char, c_void};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::ptr::NonNull;
use std::sync::Arc;

use llama4_sys::{llama4_error, llama4_status};

use crate::error::{check, Error, Result, Status};
use crate::flags::LogLevel;

pub(crate) type Log = Arc<dyn Fn(LogLevel, &str) + Send + Sync>;
pub(crate) type Bytes = Arc<dyn AsRef<[u8]> + Send + Sync>;
pub(crate) type Allocator = Arc<dyn GlobalAlloc + Send + Sync>;
pub(crate) type Progress<'a> = dyn FnMut(f32) -> ControlFlow<()> + 'a;

#[derive(Default, Clone)]
pub(crate) struct Keep {
    pub log: Option<Log>,
    pub allocator: Option<Allocator>,
    pub bytes: Option<Bytes>,
}

// ---- panics ----

thread_local! {
    // Closures run on the thread that made the call; what they panicked with waits here until the library has returned.
    static PANIC: RefCell<Option<Box<dyn Any + Send>>> = const { RefCell::new(None) };
}

/// Runs a closure that the library called. A panic is kept for `resume` and gives `None`.
pub(crate) fn guarded<T>(f: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(payload) => {
            let mut payload = Some(payload);
            let _ = PANIC.try_with(|slot| {
                let mut slot = slot.borrow_mut();
                if slot.is_none() {
                    *slot = payload.take();
                }
            });
            std::mem::forget(payload); // a second one: its destructor may panic, too
            None
        }
    }
}

/// A panic goes on, once the library has returned.
#[inline]
fn resume() {
    if let Ok(Some(payload)) = PANIC.try_with(|slot| slot.borrow_mut().take()) {
        resume_unwind(payload);
    }
}

// ---- calls ----

/// A call that may run closures.
#[inline]
pub(crate) fn call(f: impl FnOnce(*mut llama4_error) -> llama4_status) -> Result<()> {
    let result = check(f);
    resume();
    result
}

/// A call that makes an object. `wrap` becomes its owner before a panic goes on.
pub(crate) fn make<T, H>(
    f: impl FnOnce(*mut *mut T, *mut llama4_error) -> llama4_status,
    wrap: impl FnOnce(NonNull<T>) -> H,
) -> Result<H> {
    let mut made = std::ptr::null_mut();
    let handle = check(|error| f(&mut made, error)).map(|()| NonNull::new(made).map(wrap));
    resume();
    handle?.ok_or_else(|| Error::new(Status::State, "the library made nothing"))
}

// ---- what the library calls ----

/// `user` is a `*const Keep` with a log.
pub(crate) unsafe extern "C" fn on_log(user: *mut c_void, level: i32, message: *const c_char) {
    guarded(|| {
        // SAFETY: every handle that may log holds the Keep; the message is NUL-terminated.
        let (keep, message) = unsafe { (&*user.cast::<Keep>(), CStr::from_ptr(message)) };
        if let Some(log) = &keep.log {
            log(LogLevel::from_code(level), &message.to_string_lossy());
        }
    });
}

/// `user` is a `*mut &mut Progress` or a `*mut Box<Progress>` that nobody else uses during the call.
pub(crate) unsafe extern "C" fn on_progress<P: FnMut(f32) -> ControlFlow<()>>(user: *mut c_void, fraction: f32) -> i32 {
    let flow = guarded(|| {
        // SAFETY: as said above.
        let progress = unsafe { &mut *user.cast::<P>() };
        progress(fraction)
    });
    (flow != Some(ControlFlow::Continue(()))) as i32
}

/// In front of each block lies the layout that `dealloc` wants back.
fn with_header(size: usize, alignment: usize) -> Option<(Layout, usize)> {
    let header = Layout::new::<Layout>();
    let (layout, offset) = header.extend(Layout::from_size_align(size, alignment).ok()?).ok()?;
    Some((layout, offset))
}

/// `user` is a `*const Keep` with an allocator.
pub(crate) unsafe extern "C" fn on_allocate(user: *mut c_void, size: usize, alignment: usize) -> *mut c_void {
    guarded(|| {
        // SAFETY: every handle holds the Keep.
        let keep = unsafe { &*user.cast::<Keep>() };
        let (layout, offset) = with_header(size, alignment)?;
        // SAFETY: the layout's size is not 0. The block begins with at least `offset` bytes for the header, which ends right before the
        // memory that is handed out; that place is aligned for a Layout, because offset is a multiple of its alignment.
        unsafe {
            let block = keep.allocator.as_ref()?.alloc(layout);
            if block.is_null() {
                return None;
            }
            let memory = block.add(offset);
            memory.cast::<Layout>().sub(1).write(layout);
            Some(memory.cast())
        }
    })
    .flatten()
    .unwrap_or(std::ptr::null_mut())
}

/// `user` as above; `memory` came from `on_allocate`.
pub(crate) unsafe extern "C" fn on_release(user: *mut c_void, memory: *mut c_void) {
    guarded(|| {
        // SAFETY: on_allocate wrote the layout there; the offset follows from the alignment, as it did there.
        unsafe {
            let layout = memory.cast::<Layout>().sub(1).read();
            let offset = memory_offset(layout);
            if let Some(allocator) = &(*user.cast::<Keep>()).allocator {
                allocator.dealloc(memory.cast::<u8>().sub(offset), layout);
            }
        }
    });
}

/// Where the memory begins in a block of this layout: the header rounded up to the block's alignment.
fn memory_offset(layout: Layout) -> usize {
    let (size, alignment) = (std::mem::size_of::<Layout>(), layout.align());
    (size + alignment - 1) / alignment * alignment
}
