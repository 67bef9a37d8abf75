//! The library's groups of constants.

use llama4_sys as sys;

macro_rules! flags {
    ($(#[$doc:meta])* $name:ident = $raw:ident { $($(#[$item_doc:meta])* $item:ident = $constant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name(u32);

        impl $name {
            $($(#[$item_doc])* pub const $item: $name = $name(sys::$raw::$constant.0);)*

            /// None of them.
            pub const fn empty() -> $name {
                $name(0)
            }

            /// Are all of `other` in it?
            pub const fn contains(self, other: $name) -> bool {
                self.0 & other.0 == other.0
            }

            /// The library's number for it.
            pub const fn bits(self) -> u32 {
                self.0
            }

            #[allow(dead_code)] // not every group comes out of the library
            pub(crate) const fn from_bits(bits: u32) -> $name {
                $name(bits)
            }
        }

        impl std::ops::BitOr for $name {
            type Output = $name;
            fn bitor(self, other: $name) -> $name {
                $name(self.0 | other.0)
            }
        }

        impl std::ops::BitOrAssign for $name {
            fn bitor_assign(&mut self, other: $name) {
                self.0 |= other.0;
            }
        }
    };
}

flags! {
    /// How text becomes tokens.
    TokenizeFlags = llama4_tokenize_flags {
        /// Put `<|begin_of_text|>` first.
        BOS = LLAMA4_TOKENIZE_BOS,
        /// Recognise names of special tokens in the text: never for text of users.
        SPECIAL = LLAMA4_TOKENIZE_SPECIAL,
    }
}

flags! {
    /// How tokens become text.
    DetokenizeFlags = llama4_detokenize_flags {
        /// Write the names of special tokens; otherwise they give no text.
        SPECIAL = LLAMA4_DETOKENIZE_SPECIAL,
    }
}

flags! {
    /// How a conversation becomes tokens.
    ChatFlags = llama4_chat_flags {
        /// Do not begin with `<|begin_of_text|>`: the messages continue a conversation.
        NO_BOS = LLAMA4_CHAT_NO_BOS,
        /// Do not end with the header that opens the assistant's answer.
        NO_HEADER = LLAMA4_CHAT_NO_HEADER,
    }
}

flags! {
    /// What kind of token an id is; none of these: an ordinary one.
    TokenFlags = llama4_token_flags {
        /// Never produced from user text, and invisible in detokenised text.
        SPECIAL = LLAMA4_TOKEN_SPECIAL,
        /// Generation ends here: end of text, of a message or of a turn.
        STOP = LLAMA4_TOKEN_STOP,
        /// A hole in the vocabulary.
        UNUSED = LLAMA4_TOKEN_UNUSED,
    }
}

macro_rules! values {
    ($(#[$doc:meta])* $name:ident = $raw:ident { $($(#[$item_doc:meta])* $item:ident = $constant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$item_doc])* $item,)*
            /// A number that this version of the crate does not know.
            Other(i32),
        }

        impl $name {
            /// The library's number for it.
            pub const fn code(self) -> i32 {
                match self {
                    $($name::$item => sys::$raw::$constant.0,)*
                    $name::Other(code) => code,
                }
            }

            pub(crate) fn from_code(code: i32) -> $name {
                match sys::$raw(code) {
                    $(sys::$raw::$constant => $name::$item,)*
                    _ => $name::Other(code),
                }
            }
        }
    };
}

values! {
    /// An instruction set; every one gives the same bits.
    CpuLevel = llama4_cpu_value {
        /// Whatever this machine has.
        Auto = LLAMA4_CPU_AUTO,
        /// Portable C.
        Generic = LLAMA4_CPU_GENERIC,
        /// x86-64 with AVX2, FMA and F16C.
        Avx2 = LLAMA4_CPU_AVX2,
        /// The same with AVX-VNNI.
        Avx2Vnni = LLAMA4_CPU_AVX2_VNNI,
        /// x86-64 with AVX-512 F, BW, DQ and VL.
        Avx512 = LLAMA4_CPU_AVX512,
        /// The same with AVX-512 VNNI.
        Avx512Vnni = LLAMA4_CPU_AVX512_VNNI,
        /// The same with AVX-512 VBMI.
        Avx512Vbmi = LLAMA4_CPU_AVX512_VBMI,
        /// ARM64, all of which has NEON.
        Neon = LLAMA4_CPU_NEON,
        /// The same with the dot products of ARMv8.2.
        NeonDotprod = LLAMA4_CPU_NEON_DOTPROD,
    }
}

values! {
    /// How keys and values are kept.
    KvType = llama4_kv_value {
        /// 16-bit floats.
        F16 = LLAMA4_KV_F16,
        /// 32-bit floats: twice the memory; differs from `F16` around the fourth digit of a logit.
        F32 = LLAMA4_KV_F32,
        /// 14-bit integers, a scale for each head's key and value, the default: nearer to `F32` than `F16` is; long prompts are faster.
        I16 = LLAMA4_KV_I16,
        /// 8-bit integers, a scale for each 32: little more than half the memory of `I16`.
        Q8_0 = LLAMA4_KV_Q8_0,
    }
}

values! {
    /// What becomes of a tensor.
    TensorPath = llama4_path_value {
        /// Not needed for text, such as pictures' part of a model.
        Unused = LLAMA4_PATH_UNUSED,
        /// Products in float32, read where it lies in the file.
        Float = LLAMA4_PATH_FLOAT,
        /// Packed sixteen rows wide when the model opens, products with int8 activations.
        Int8 = LLAMA4_PATH_INT8,
        /// Single rows are looked up where it lies in the file.
        Rows = LLAMA4_PATH_ROWS,
        /// Becomes float32 when the model opens.
        Vector = LLAMA4_PATH_VECTOR,
    }
}

values! {
    /// Whether a model runs in the memory of a [`Plan`](crate::Plan).
    Fits = llama4_fits_value {
        /// It needs [`least_bytes`](crate::Plan::least_bytes).
        No = LLAMA4_FITS_NOT,
        /// Routed experts that [`pool_bytes`](crate::Plan::pool_bytes) do not hold are read when a token needs them.
        Streamed = LLAMA4_FITS_STREAMED,
        /// All weights stay in memory.
        Whole = LLAMA4_FITS_WHOLE,
    }
}

values! {
    /// How much a line of the log matters.
    LogLevel = llama4_log_value {
        /// The result may not be what you expect.
        Warning = LLAMA4_LOG_WARNING,
        /// Worth knowing once.
        Info = LLAMA4_LOG_INFO,
    }
}
