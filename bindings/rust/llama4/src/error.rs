//! Status and message of the library -> `Error`.

use std::ffi::CStr;
use std::fmt;

use llama4_sys::{llama4_error, llama4_status, llama4_status_name};

/// What the calls of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed: the library's status and its message, one sentence that names the file, tensor or argument.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    status: Status,
    message: Box<str>,
}

/// The kind of an [`Error`]. The numbers never change their meaning; new ones may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// An argument is out of range or contradicts another.
    Argument,
    /// The allocator is out of memory.
    Memory,
    /// A file cannot be opened, read or written.
    Io,
    /// A file is malformed, truncated or contradicts itself.
    Format,
    /// Well-formed, but not something that this version can do.
    Unsupported,
    /// A closure or a [`CancelHandle`](crate::CancelHandle) stopped the call.
    Cancelled,
    /// An array is too small.
    Capacity,
    /// The tokens do not fit into the context's length.
    ContextFull,
    /// The model file carries no vocabulary.
    NoVocabulary,
    /// Text is not valid UTF-8.
    Utf8,
    /// The operating system refused something, such as a thread.
    System,
    /// The handle is not in a state that allows the call.
    State,
    /// A status that this version of the crate does not know.
    Other(i32),
}

const KNOWN: [(llama4_status, Status); 12] = [
    (llama4_status::LLAMA4_ERR_ARGUMENT, Status::Argument),
    (llama4_status::LLAMA4_ERR_MEMORY, Status::Memory),
    (llama4_status::LLAMA4_ERR_IO, Status::Io),
    (llama4_status::LLAMA4_ERR_FORMAT, Status::Format),
    (llama4_status::LLAMA4_ERR_UNSUPPORTED, Status::Unsupported),
    (llama4_status::LLAMA4_ERR_CANCELLED, Status::Cancelled),
    (llama4_status::LLAMA4_ERR_CAPACITY, Status::Capacity),
    (llama4_status::LLAMA4_ERR_CONTEXT_FULL, Status::ContextFull),
    (llama4_status::LLAMA4_ERR_NO_VOCABULARY, Status::NoVocabulary),
    (llama4_status::LLAMA4_ERR_UTF8, Status::Utf8),
    (llama4_status::LLAMA4_ERR_SYSTEM, Status::System),
    (llama4_status::LLAMA4_ERR_STATE, Status::State),
];

impl Status {
    fn from_raw(raw: llama4_status) -> Status {
        KNOWN
            .iter()
            .find(|known| known.0 == raw)
            .map_or(Status::Other(raw.0), |known| known.1)
    }

    /// The library's number for it.
    pub fn code(self) -> i32 {
        match self {
            Status::Other(code) => code,
            _ => KNOWN.iter().find(|known| known.1 == self).map_or(0, |known| known.0 .0),
        }
    }
}

impl fmt::Display for Status {
    /// The library's short name for it, such as "out of memory".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: takes any number and returns a constant string.
        let name = unsafe { CStr::from_ptr(llama4_status_name(llama4_status(self.code()))) };
        f.pad(&name.to_string_lossy())
    }
}

impl Error {
    pub(crate) fn new(status: Status, message: impl Into<Box<str>>) -> Error {
        Error {
            status,
            message: message.into(),
        }
    }

    /// What kind of failure this is.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The library's message: one sentence that names the file, tensor or argument.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Debug for Error {
    /// As `main` shows it when it returns an error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.status, self.message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.message)
    }
}

impl std::error::Error for Error {}

/// Makes a call with a `llama4_error` to write to.
#[inline]
pub(crate) fn check(call: impl FnOnce(*mut llama4_error) -> llama4_status) -> Result<()> {
    // Only what the library reads is filled in: this is on the path of every decode.
    let mut error = std::mem::MaybeUninit::<llama4_error>::uninit();
    let p = error.as_mut_ptr();
    // SAFETY: p is valid for writes; the fields are plain numbers.
    unsafe {
        std::ptr::addr_of_mut!((*p).struct_size).write(std::mem::size_of::<llama4_error>() as u32);
        std::ptr::addr_of_mut!((*p).status).write(llama4_status::LLAMA4_OK);
        std::ptr::addr_of_mut!((*p).message).cast::<u8>().write(0);
    }
    let status = call(p);
    if status == llama4_status::LLAMA4_OK {
        return Ok(());
    }
    // SAFETY: the message is NUL-terminated: by the library, or by the lines above.
    Err(unsafe { failure(status, std::ptr::addr_of!((*p).message).cast()) })
}

/// # Safety
/// `message` is NUL-terminated.
#[cold]
unsafe fn failure(status: llama4_status, message: *const std::os::raw::c_char) -> Error {
    // SAFETY: as promised by the caller.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    let status = Status::from_raw(status);
    Error::new(status, if text.is_empty() { status.to_string() } else { text })
}
