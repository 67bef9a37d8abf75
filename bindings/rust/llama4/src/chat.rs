//! Messages of a conversation.

use std::borrow::Cow;
use std::ffi::CString;
use std::marker::PhantomData;
use std::mem::size_of;
use std::os::raw::c_char;
use std::time::Duration;

use llama4_sys as sys;

use crate::error::Result;
use crate::ffi::c_string;
use crate::image::{Embeddings, Image};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Instructions for the whole conversation.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

impl Role {
    fn name(self) -> &'static [u8] {
        match self {
            Role::System => b"system\0",
            Role::User => b"user\0",
            Role::Assistant => b"assistant\0",
            Role::Tool => b"tool\0",
        }
    }
}

/// One function call inside an assistant's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// The function.
    pub name: String,
    /// A JSON object; spacing is normalised.
    pub arguments: String,
}

/// One piece of a message: a text, a picture, or a picture that was encoded before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    kind: Kind<'a>,
    at: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind<'a> {
    Text(Cow<'a, str>),
    Image(Image),
    Embeddings(Embeddings),
}

impl<'a> Part<'a> {
    /// A text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Part<'a> {
        Kind::Text(text.into()).into()
    }

    /// Makes a picture a frame of a video: its time, such as "[1:23.4] ", stands before it. A frame has one tile:
    /// [`Context::chat`](crate::Context::chat) wants its image made with [`max_tiles(1)`](crate::ImageOptions::max_tiles).
    #[must_use]
    pub fn at(mut self, time: Duration) -> Part<'a> {
        self.at = Some(time);
        self
    }

    /// Frames of a video, from its beginning on, each so much later than the one before it.
    pub fn frames(pictures: impl IntoIterator<Item = impl Into<Part<'a>>>, apart: Duration) -> Vec<Part<'a>> {
        let mut time = Duration::ZERO;
        pictures
            .into_iter()
            .map(|picture| {
                let part = picture.into().at(time);
                time = time.saturating_add(apart);
                part
            })
            .collect()
    }

    /// The picture, if it is one that is yet to be encoded.
    pub(crate) fn image(&self) -> Option<&Image> {
        match &self.kind {
            Kind::Image(image) => Some(image),
            _ => None,
        }
    }

    pub(crate) fn embeddings(&self) -> Option<&Embeddings> {
        match &self.kind {
            Kind::Embeddings(embeddings) => Some(embeddings),
            _ => None,
        }
    }

    pub(crate) fn is_frame(&self) -> bool {
        self.at.is_some()
    }

    fn raw(&self) -> sys::llama4_part {
        let mut raw = sys::llama4_part {
            struct_size: size_of::<sys::llama4_part>() as u32,
            ..Default::default()
        };
        match &self.kind {
            Kind::Text(text) => {
                raw.text = text_pointer(text);
                raw.text_length = text.len() as u64;
            }
            Kind::Image(image) => raw.image = image.raw.as_ptr(),
            Kind::Embeddings(embeddings) => raw.embeddings = embeddings.raw.as_ptr(),
        }
        if let Some(at) = self.at {
            raw.flags = sys::llama4_part_flags::LLAMA4_PART_FRAME.0;
            raw.seconds = at.as_secs_f64();
        }
        raw
    }
}

impl<'a> From<Kind<'a>> for Part<'a> {
    fn from(kind: Kind<'a>) -> Part<'a> {
        Part { kind, at: None }
    }
}

impl<'a> From<&'a str> for Part<'a> {
    fn from(text: &'a str) -> Part<'a> {
        Part::text(text)
    }
}

impl From<String> for Part<'_> {
    fn from(text: String) -> Self {
        Part::text(text)
    }
}

impl From<Image> for Part<'_> {
    fn from(image: Image) -> Self {
        Kind::Image(image).into()
    }
}

impl From<&Image> for Part<'_> {
    fn from(image: &Image) -> Self {
        image.clone().into()
    }
}

impl From<Embeddings> for Part<'_> {
    fn from(embeddings: Embeddings) -> Self {
        Kind::Embeddings(embeddings).into()
    }
}

impl From<&Embeddings> for Part<'_> {
    fn from(embeddings: &Embeddings) -> Self {
        embeddings.clone().into()
    }
}

/// A length of 0 means: up to the NUL.
fn text_pointer(text: &str) -> *const c_char {
    if text.is_empty() {
        b"\0".as_ptr().cast()
    } else {
        text.as_ptr().cast()
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// What is said. Names of special tokens in it are text like any other.
    pub content: Cow<'a, str>,
    /// Texts and pictures in their order, in place of `content`, which is then empty.
    pub parts: Vec<Part<'a>>,
    /// Calls of an assistant's message.
    pub tool_calls: Vec<ToolCall>,
    /// More of the same turn follows: an assistant's message then ends with eom instead of eot.
    pub unfinished: bool,
}

impl<'a> Message<'a> {
    /// A message of any role.
    pub fn new(role: Role, content: impl Into<Cow<'a, str>>) -> Message<'a> {
        Message {
            role,
            content: content.into(),
            parts: Vec::new(),
            tool_calls: Vec::new(),
            unfinished: false,
        }
    }

    /// A message of texts and pictures in their order.
    pub fn from_parts(role: Role, parts: impl IntoIterator<Item = Part<'a>>) -> Message<'a> {
        Message {
            parts: parts.into_iter().collect(),
            ..Message::new(role, "")
        }
    }

    /// Instructions for the whole conversation.
    pub fn system(content: impl Into<Cow<'a, str>>) -> Message<'a> {
        Message::new(Role::System, content)
    }

    /// What the user says.
    pub fn user(content: impl Into<Cow<'a, str>>) -> Message<'a> {
        Message::new(Role::User, content)
    }

    /// What the model said.
    pub fn assistant(content: impl Into<Cow<'a, str>>) -> Message<'a> {
        Message::new(Role::Assistant, content)
    }

    /// What a tool returned.
    pub fn tool(content: impl Into<Cow<'a, str>>) -> Message<'a> {
        Message::new(Role::Tool, content)
    }

    /// Adds a function call to an assistant's message; `arguments` is a JSON object.
    #[must_use]
    pub fn with_tool_call(mut self, name: impl Into<String>, arguments: impl Into<String>) -> Message<'a> {
        self.tool_calls.push(ToolCall {
            name: name.into(),
            arguments: arguments.into(),
        });
        self
    }

    /// Marks an assistant's message after which more of the same turn follows.
    #[must_use]
    pub fn unfinished(mut self) -> Message<'a> {
        self.unfinished = true;
        self
    }
}

/// Messages as the library wants them, with all that they point to.
pub(crate) struct RawMessages<'m> {
    messages: Vec<sys::llama4_message>,
    _calls: Vec<Vec<sys::llama4_tool_call>>,
    _parts: Vec<Vec<sys::llama4_part>>,
    _strings: Vec<CString>,
    _content: PhantomData<&'m str>,
}

impl<'m> RawMessages<'m> {
    pub fn new(messages: &'m [Message<'_>]) -> Result<RawMessages<'m>> {
        let (mut raw, mut calls, mut strings) = (Vec::with_capacity(messages.len()), Vec::new(), Vec::new());
        let mut all_parts = Vec::new();
        for message in messages {
            let list = raw_calls(&message.tool_calls, &mut strings)?;
            let parts: Vec<_> = message.parts.iter().map(Part::raw).collect();
            // Both are the library's to refuse.
            let content = if parts.is_empty() || !message.content.is_empty() {
                text_pointer(&message.content)
            } else {
                std::ptr::null()
            };
            raw.push(sys::llama4_message {
                struct_size: size_of::<sys::llama4_message>() as u32,
                flags: if message.unfinished {
                    sys::llama4_message_flags::LLAMA4_MESSAGE_EOM.0
                } else {
                    0
                },
                role: message.role.name().as_ptr().cast(),
                content,
                content_length: message.content.len() as u64,
                tool_calls: if list.is_empty() { std::ptr::null() } else { list.as_ptr() },
                n_tool_calls: list.len() as u64,
                tool_call_stride: size_of::<sys::llama4_tool_call>() as u64,
                parts: if parts.is_empty() { std::ptr::null() } else { parts.as_ptr() },
                n_parts: parts.len() as u64,
                part_stride: size_of::<sys::llama4_part>() as u64,
            });
            calls.push(list); // the elements stay where they are
            all_parts.push(parts);
        }
        Ok(RawMessages {
            messages: raw,
            _calls: calls,
            _parts: all_parts,
            _strings: strings,
            _content: PhantomData,
        })
    }

    /// Address, number and stride.
    pub fn parts(&self) -> (*const sys::llama4_message, usize, usize) {
        (self.messages.as_ptr(), self.messages.len(), size_of::<sys::llama4_message>())
    }
}

fn raw_calls(calls: &[ToolCall], strings: &mut Vec<CString>) -> Result<Vec<sys::llama4_tool_call>> {
    let mut keep = |text: &str, what| -> Result<*const c_char> {
        strings.push(c_string(text, what)?);
        Ok(strings[strings.len() - 1].as_ptr())
    };
    calls
        .iter()
        .map(|call| {
            Ok(sys::llama4_tool_call {
                struct_size: size_of::<sys::llama4_tool_call>() as u32,
                reserved: 0,
                name: keep(&call.name, "the tool call's name")?,
                arguments: keep(&call.arguments, "the tool call's arguments")?,
            })
        })
        .collect()
}
