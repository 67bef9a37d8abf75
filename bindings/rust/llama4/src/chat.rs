//! Messages of a conversation.

use std::borrow::Cow;
use std::ffi::CString;
use std::marker::PhantomData;
use std::mem::size_of;
use std::os::raw::c_char;

use llama4_sys as sys;

use crate::error::Result;
use crate::ffi::c_string;

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

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// What is said. Names of special tokens in it are text like any other.
    pub content: Cow<'a, str>,
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
            tool_calls: Vec::new(),
            unfinished: false,
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
    _strings: Vec<CString>,
    _content: PhantomData<&'m str>,
}

impl<'m> RawMessages<'m> {
    pub fn new(messages: &'m [Message<'_>]) -> Result<RawMessages<'m>> {
        let (mut raw, mut calls, mut strings) = (Vec::with_capacity(messages.len()), Vec::new(), Vec::new());
        for message in messages {
            let list = raw_calls(&message.tool_calls, &mut strings)?;
            // A length of 0 means: up to the NUL.
            let content: *const u8 = if message.content.is_empty() {
                b"\0".as_ptr()
            } else {
                message.content.as_ptr()
            };
            raw.push(sys::llama4_message {
                struct_size: size_of::<sys::llama4_message>() as u32,
                flags: if message.unfinished {
                    sys::llama4_message_flags::LLAMA4_MESSAGE_EOM.0
                } else {
                    0
                },
                role: message.role.name().as_ptr().cast(),
                content: content.cast(),
                content_length: message.content.len() as u64,
                tool_calls: if list.is_empty() { std::ptr::null() } else { list.as_ptr() },
                n_tool_calls: list.len() as u64,
                tool_call_stride: size_of::<sys::llama4_tool_call>() as u64,
                ..Default::default()
            });
            calls.push(list); // the elements stay where they are
        }
        Ok(RawMessages {
            messages: raw,
            _calls: calls,
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
