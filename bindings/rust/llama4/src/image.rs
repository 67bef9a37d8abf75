//! Pictures, and what a model makes of them.

use std::fmt;
use std::mem::size_of;
use std::os::raw::c_void;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use llama4_sys as sys;

use crate::context::Context;
use crate::error::{check, Result};
use crate::ffi::c_path;
use crate::hooks::{make, Keep};
use crate::model::Model;

/// A picture: immutable, counted, and usable by any number of threads and models at once.
///
/// ```
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../..")).unwrap();
/// use llama4::{Context, Generate, Image, Message, Model, Role};
///
/// let model = Model::options()
///     .vision("examples/models/llama4-tiny-mmproj.gguf")
///     .open("examples/models/llama4-tiny.gguf")?;
/// let mut context = Context::new(&model)?;
/// let picture = Image::open("examples/pictures/triangle.png")?;
/// let message = Message::from_parts(Role::User, [(&picture).into(), "Describe the picture.".into()]);
/// let mut answer = String::new();
/// for piece in context.chat(&[message], Generate::new())? {
///     answer.push_str(&piece?.text);
/// }
/// assert_eq!(answer, "A black triangle on the right, on a red background.");
/// # Ok::<(), llama4::Error>(())
/// ```
pub struct Image {
    pub(crate) raw: NonNull<sys::llama4_image>,
}

// SAFETY: an image is immutable and may be used by any number of threads at once, says the header; references are counted atomically.
unsafe impl Send for Image {}
unsafe impl Sync for Image {}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: this handle owns one reference.
        unsafe { sys::llama4_image_release(self.raw.as_ptr()) }
    }
}

impl Clone for Image {
    fn clone(&self) -> Image {
        // SAFETY: the image is alive; the new handle owns the new reference.
        unsafe { sys::llama4_image_ref(self.raw.as_ptr()) };
        Image { raw: self.raw }
    }
}

/// The same picture, not merely the same pixels.
impl PartialEq for Image {
    fn eq(&self, other: &Image) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Image {}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Image").field(&self.raw).finish()
    }
}

/// What the bytes of a pixel are, 8 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channels {
    /// One: grey.
    Grey,
    /// Three.
    Rgb,
    /// Four; what is transparent lies over white.
    Rgba,
}

impl Channels {
    fn count(self) -> i32 {
        match self {
            Channels::Grey => 1,
            Channels::Rgb => 3,
            Channels::Rgba => 4,
        }
    }
}

/// How a model sees a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageInfo {
    /// Pixels; 0 where there are tiles or embeddings only.
    pub width: i32,
    /// Pixels, likewise.
    pub height: i32,
    /// Tiles of the grid.
    pub columns: i32,
    /// Tiles of the grid.
    pub rows: i32,
    /// Tiles in all: several have one behind them that shows the whole picture.
    pub tiles: i32,
    /// Rows that it becomes.
    pub embeddings: i32,
    /// Ids that it takes in a prompt.
    pub tokens: i32,
}

impl ImageInfo {
    fn get(f: impl FnOnce(*mut sys::llama4_image_info, *mut sys::llama4_error) -> sys::llama4_status) -> Result<ImageInfo> {
        let mut raw = sys::llama4_image_info {
            struct_size: size_of::<sys::llama4_image_info>() as u32,
            ..Default::default()
        };
        check(|error| f(&mut raw, error))?;
        Ok(ImageInfo {
            width: raw.width,
            height: raw.height,
            columns: raw.columns,
            rows: raw.rows,
            tiles: raw.tiles,
            embeddings: raw.embeddings,
            tokens: raw.tokens,
        })
    }
}

impl Image {
    /// Reads a PNG or JPEG file, told apart by its content. A damaged file is refused as a whole.
    pub fn open(path: impl AsRef<Path>) -> Result<Image> {
        Image::options().open(path)
    }

    /// The same from the bytes of a file, which are no longer needed afterwards.
    pub fn from_bytes(bytes: &[u8]) -> Result<Image> {
        Image::options().from_bytes(bytes)
    }

    /// A picture from pixels, row after row from the top, copied.
    pub fn from_pixels(pixels: &[u8], width: i32, height: i32, channels: Channels) -> Result<Image> {
        Image::options().from_pixels(pixels, width, height, 0, channels)
    }

    /// A picture that was cut up and normalised elsewhere, copied: `[tiles][3][tile_size][tile_size]`, row after row of the grid; if there are
    /// several, the whole picture behind them.
    pub fn from_tiles(tiles: &[f32], columns: i32, rows: i32, tile_size: i32) -> Result<Image> {
        make(
            // SAFETY: tiles are valid for their length.
            |out, error| unsafe {
                let (data, n) = (tiles.as_ptr(), tiles.len());
                sys::llama4_image_create_tiles(data, n, columns, rows, tile_size, std::ptr::null(), out, error)
            },
            |raw| Image { raw },
        )
    }

    /// More ways to make one.
    pub fn options() -> ImageOptions {
        ImageOptions::new()
    }

    /// Its size, and the tiles that a model sees; without a model Meta's, of 336 x 336 pixels and 144 embeddings.
    pub fn info(&self, model: Option<&Model>) -> Result<ImageInfo> {
        let model = model.map_or(std::ptr::null(), |model| model.raw.as_ptr() as *const _);
        // SAFETY: both are alive.
        ImageInfo::get(|info, error| unsafe { sys::llama4_image_get_info(self.raw.as_ptr(), model, info, error) })
    }
}

/// How to make an [`Image`]. Zeros are the defaults.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct ImageOptions {
    max_pixels: i64,
    max_bytes: i64,
    max_tiles: i32,
    as_stored: bool,
}

impl ImageOptions {
    /// The defaults.
    pub fn new() -> ImageOptions {
        ImageOptions::default()
    }

    /// A picture with more is refused; 0: 134217728.
    pub fn max_pixels(mut self, pixels: i64) -> Self {
        self.max_pixels = pixels;
        self
    }

    /// A file with more is refused; 0: 268435456.
    pub fn max_bytes(mut self, bytes: i64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Tiles at most, 1 to 64, besides the one that shows the whole picture; 0: as the model has it. A frame of a video has 1.
    pub fn max_tiles(mut self, tiles: i32) -> Self {
        self.max_tiles = tiles;
        self
    }

    /// Does not turn a JPEG upright: the reference takes no notice of Exif's orientation.
    pub fn as_stored(mut self, yes: bool) -> Self {
        self.as_stored = yes;
        self
    }

    fn raw(self) -> sys::llama4_image_params {
        sys::llama4_image_params {
            struct_size: size_of::<sys::llama4_image_params>() as u32,
            flags: if self.as_stored {
                sys::llama4_image_flags::LLAMA4_IMAGE_AS_STORED.0
            } else {
                0
            },
            max_pixels: self.max_pixels,
            max_bytes: self.max_bytes,
            max_tiles: self.max_tiles,
            ..Default::default()
        }
    }

    /// See [`Image::open`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<Image> {
        let (path, params) = (c_path(path.as_ref())?, self.raw());
        make(
            // SAFETY: path and params are valid during the call.
            |out, error| unsafe { sys::llama4_image_open(path.as_ptr(), &params, out, error) },
            |raw| Image { raw },
        )
    }

    /// See [`Image::from_bytes`].
    pub fn from_bytes(self, bytes: &[u8]) -> Result<Image> {
        let params = self.raw();
        make(
            // SAFETY: bytes are valid for their length.
            |out, error| unsafe {
                let data = bytes.as_ptr() as *const c_void;
                sys::llama4_image_open_memory(data, bytes.len(), &params, out, error)
            },
            |raw| Image { raw },
        )
    }

    /// See [`Image::from_pixels`]. `stride`: bytes from one row to the next; 0: rows follow each other.
    pub fn from_pixels(self, pixels: &[u8], width: i32, height: i32, stride: usize, channels: Channels) -> Result<Image> {
        let params = self.raw();
        make(
            // SAFETY: pixels are valid for their length, which the library compares with what it is told of them.
            |out, error| unsafe {
                let (data, size) = (pixels.as_ptr() as *const c_void, pixels.len());
                sys::llama4_image_create(data, size, width, height, stride, channels.count(), &params, out, error)
            },
            |raw| Image { raw },
        )
    }
}

/// What a model makes of a picture: rows of numbers that stand in a prompt like tokens. Immutable, counted, and usable by any number of threads
/// at once.
pub struct Embeddings {
    pub(crate) raw: NonNull<sys::llama4_embeddings>,
    keep: Arc<Keep>,
}

// SAFETY: as for images. What Keep holds is Send and Sync.
unsafe impl Send for Embeddings {}
unsafe impl Sync for Embeddings {}

impl Drop for Embeddings {
    fn drop(&mut self) {
        // SAFETY: this handle owns one reference. Keep goes after it.
        unsafe { sys::llama4_embeddings_release(self.raw.as_ptr()) }
    }
}

impl Clone for Embeddings {
    fn clone(&self) -> Embeddings {
        // SAFETY: they are alive; the new handle owns the new reference.
        unsafe { sys::llama4_embeddings_ref(self.raw.as_ptr()) };
        Embeddings {
            raw: self.raw,
            keep: self.keep.clone(),
        }
    }
}

/// The same object, not merely the same numbers.
impl PartialEq for Embeddings {
    fn eq(&self, other: &Embeddings) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Embeddings {}

impl fmt::Debug for Embeddings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Embeddings").field(&self.raw).finish()
    }
}

impl Embeddings {
    /// Embeddings from elsewhere, copied: tile after tile, row after row of the grid; if there are several, those of the whole picture behind
    /// them. All tiles have the same number of rows, each as wide as the model's
    /// [`embedding_length`](crate::ModelInfo::embedding_length).
    pub fn new(model: &Model, numbers: &[f32], columns: i32, rows: i32) -> Result<Embeddings> {
        make(
            // SAFETY: numbers are valid for their length, and the model is alive.
            |out, error| unsafe {
                let (data, n) = (numbers.as_ptr(), numbers.len());
                sys::llama4_embeddings_create(model.raw.as_ptr(), data, n, columns, rows, out, error)
            },
            |raw| Embeddings {
                raw,
                keep: model.keep.clone(),
            },
        )
    }

    /// The numbers, row after row.
    pub fn numbers(&self) -> Result<&[f32]> {
        let (mut numbers, mut count) = (std::ptr::null(), 0);
        // SAFETY: the numbers live, unchanged, as long as this handle.
        unsafe {
            check(|error| sys::llama4_embeddings_data(self.raw.as_ptr(), &mut numbers, &mut count, error))?;
            Ok(std::slice::from_raw_parts(numbers, count))
        }
    }

    /// Its grid, and how many tokens it takes in a prompt.
    pub fn info(&self) -> Result<ImageInfo> {
        // SAFETY: they are alive.
        ImageInfo::get(|info, error| unsafe { sys::llama4_embeddings_get_info(self.raw.as_ptr(), info, error) })
    }
}

impl Context {
    /// Computes a picture's embeddings; sequences stay as they are. [`ContextOptions::progress`](crate::ContextOptions::progress) and
    /// [`CancelHandle`](crate::CancelHandle) work here too. The result can be used any number of times, with any context of the model.
    pub fn encode(&mut self, image: &Image) -> Result<Embeddings> {
        let keep = self.keep().clone();
        make(
            // SAFETY: the context is ours alone, the image is alive.
            |out, error| unsafe { sys::llama4_image_encode(self.raw(), image.raw.as_ptr(), out, error) },
            |raw| Embeddings { raw, keep },
        )
    }
}
