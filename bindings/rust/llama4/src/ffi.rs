//! Small things about the border: strings, paths, arrays that the library fills, structs that it fills.

use std::ffi::CString;
use std::os::raw::c_char;
use std::path::Path;

use llama4_sys::{llama4_error, llama4_status};

use crate::error::{check, Error, Result, Status};

pub(crate) fn c_string(text: impl Into<Vec<u8>>, what: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::new(Status::Argument, format!("{} holds a NUL byte", what)))
}

/// UTF-8; on Unix the bytes of any path.
#[cfg(unix)]
pub(crate) fn c_path(path: &Path) -> Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    c_string(path.as_os_str().as_bytes(), "the path")
}

/// UTF-8.
#[cfg(not(unix))]
pub(crate) fn c_path(path: &Path) -> Result<CString> {
    match path.to_str() {
        Some(text) => c_string(text, "the path"),
        None => Err(Error::new(
            Status::Utf8,
            format!("{}: the path is not valid Unicode", path.display()),
        )),
    }
}

/// A NUL-terminated string in an array of the library's.
pub(crate) fn text_of(array: &[c_char]) -> String {
    let bytes: Vec<u8> = array.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Calls a function that fills an array: with room for `guess` elements, and once more if that was too little.
pub(crate) fn fill<T: Copy + Default>(
    guess: usize,
    call: impl Fn(*mut T, usize, *mut usize, *mut llama4_error) -> llama4_status,
) -> Result<Vec<T>> {
    let mut array = vec![T::default(); guess.max(1)];
    let mut count = 0;
    let first = check(|error| call(array.as_mut_ptr(), array.len(), &mut count, error));
    match first {
        Err(error) if error.status() == Status::Capacity && count > array.len() => {
            array.resize(count, T::default());
            check(|error| call(array.as_mut_ptr(), array.len(), &mut count, error))?;
        }
        other => other?,
    }
    array.truncate(count);
    Ok(array)
}
