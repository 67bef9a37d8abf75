/*
 * llama4.h - run Meta's Llama 4 models on CPUs, inside your program.
 *
 * This file is the manual; read it from top to bottom. The shortest useful program is llama4_model_open,
 * llama4_context_create, llama4_context_chat and the two releases. One level below, llama4_vocab_tokenize,
 * llama4_context_decode, llama4_context_logits and llama4_sampler_sample give full control of the same loop.
 *
 * Rules that hold everywhere
 *
 * - The library never aborts, exits, prints, installs a signal handler, reads the environment or keeps writable global state.
 *   It speaks through return values, and through the hooks that you pass. Your floating-point settings change no result: while
 *   a call lasts, hooks included, they are those of a C program at its start, and then yours again.
 * - Every call that can fail returns a llama4_status: LLAMA4_OK (0) or a negative number whose meaning never changes. Its last
 *   argument is a nullable llama4_error owned by the caller. On failure outputs are untouched, unless the function says otherwise.
 * - Options structs start with struct_size. Fill them with their _init function, or set struct_size to sizeof and the
 *   rest to zero: zero always means the default. A struct smaller than its first version is refused; a larger one (from a newer
 *   header) is accepted while everything that this library does not know is zero. NULL stands for all defaults.
 * - Text is UTF-8 with a length in bytes. Paths are UTF-8 on every system.
 * - Functions that fill a caller's array take a capacity and report the number of elements needed in *count. With
 *   capacity 0 they only report it (the array may be NULL). If the capacity is positive but too small they return
 *   LLAMA4_ERR_CAPACITY, set *count and write nothing else.
 * - A model and a vocabulary are immutable and may be used by any number of threads at once. A context, a sampler and a
 *   detokenizer may move between threads but belong to one at a time; llama4_context_cancel is the only exception.
 * - Handles may be released in any order, and NULL may be released.
 *
 * Comments use the annotations of GObject introspection: (nullable) may be NULL, (out) is written, (transfer full) passes
 * ownership to the caller (of a parameter that is read: to the library), (transfer none) stays where it is, (array
 * length=n) is an array of n elements, with stride=s of elements s bytes apart. An array whose length is a capacity may
 * be NULL when that is 0; user pointers may be NULL and are only passed on. bindings/README.md has the whole convention,
 * from which the bindings to other languages are generated.
 */
#ifndef LLAMA4_LLAMA4_H
#define LLAMA4_LLAMA4_H

#include <stddef.h>
#include <stdint.h>

#include "version.h"

#if defined(_WIN32) && defined(LLAMA4_SHARED)
#ifdef LLAMA4_BUILD
#define LLAMA4_API __declspec(dllexport)
#else
#define LLAMA4_API __declspec(dllimport)
#endif
#elif defined(__GNUC__) && !defined(_WIN32) && defined(LLAMA4_BUILD)
#define LLAMA4_API __attribute__((visibility("default")))
#else
#define LLAMA4_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Versions, status, errors ---------------------------------------------------------------------------------- */

/** llama4_version: the version of the library that is running, as major * 1000000 + minor * 1000 + patch. Compare it
 * with LLAMA4_VERSION_MAJOR and its siblings, which are those of the header. */
LLAMA4_API uint32_t llama4_version(void);

/** llama4_status: how a call ended: LLAMA4_OK or one of LLAMA4_ERR_. */
typedef int32_t llama4_status;

/** LLAMA4_OK, LLAMA4_ERR_: (values): every llama4_status. New ones may come, always negative. */
#define LLAMA4_OK 0                   /* done */
#define LLAMA4_ERR_ARGUMENT (-1)      /* an argument is NULL, out of range or contradicts another */
#define LLAMA4_ERR_MEMORY (-2)        /* the allocator returned NULL */
#define LLAMA4_ERR_IO (-3)            /* a file cannot be opened, read or written */
#define LLAMA4_ERR_FORMAT (-4)        /* a file is malformed, truncated or contradicts itself */
#define LLAMA4_ERR_UNSUPPORTED (-5)   /* well-formed, but not something that this version can do */
#define LLAMA4_ERR_CANCELLED (-6)     /* a callback or llama4_context_cancel stopped the call */
#define LLAMA4_ERR_CAPACITY (-7)      /* the caller's array is too small; *count says how much is needed */
#define LLAMA4_ERR_CONTEXT_FULL (-8)  /* the tokens do not fit into the context's length */
#define LLAMA4_ERR_NO_VOCABULARY (-9) /* the model file carries no vocabulary */
#define LLAMA4_ERR_UTF8 (-10)         /* text is not valid UTF-8 */
#define LLAMA4_ERR_SYSTEM (-11)       /* the operating system refused something, such as a thread */
#define LLAMA4_ERR_STATE (-12)        /* the handle is not in a state that allows the call */

/** llama4_status_name: a short constant English name such as "out of memory"; "unknown status" for other numbers.
 * Returns: (transfer none): NUL-terminated, valid for ever. */
LLAMA4_API const char *llama4_status_name(llama4_status status);

/** llama4_error: what went wrong, in one sentence that names the file, tensor or argument. Owned by the caller, written
 * once, where the fault is found; untouched on success. Initialise with LLAMA4_ERROR_INIT. */
typedef struct llama4_error {
    uint32_t struct_size;  /* sizeof(llama4_error) */
    llama4_status status;  /* the status that the call returned */
    char message[256];     /* NUL-terminated UTF-8 */
} llama4_error;

/** LLAMA4_ERROR_INIT: (initializer): what a fresh llama4_error starts from. */
#define LLAMA4_ERROR_INIT {(uint32_t)sizeof(llama4_error), LLAMA4_OK, {0}}

/* ---- Hooks ------------------------------------------------------------------------------------------------------ */

/** llama4_allocate_fn: returns @size bytes aligned to @alignment (a power of two, at most 4096), or NULL. Called from the
 * thread that is inside a library call. @size is never 0. Mapped files and thread stacks do not pass through it.
 * Returns: (nullable) (transfer full). */
typedef void *(*llama4_allocate_fn)(void *user, size_t size, size_t alignment);

/** llama4_release_fn: gives back what the matching llama4_allocate_fn returned.
 * @memory: (transfer full): never NULL. */
typedef void (*llama4_release_fn)(void *user, void *memory);

/** LLAMA4_LOG_: (values): levels of llama4_log_fn. */
#define LLAMA4_LOG_WARNING 1  /* the result may not be what you expect */
#define LLAMA4_LOG_INFO 2     /* worth knowing once */

/** llama4_log_fn: receives one finished line without a newline. */
typedef void (*llama4_log_fn)(void *user, int32_t level, const char *message);

/** llama4_progress_fn: @fraction grows from 0 to 1. Return non-zero to cancel: the call then undoes what it did and
 * returns LLAMA4_ERR_CANCELLED. */
typedef int32_t (*llama4_progress_fn)(void *user, float fraction);

/* ---- Vocabulary: text to token ids and back --------------------------------------------------------------------- */

/** llama4_model_params: how to open a model or a vocabulary. */
typedef struct llama4_model_params {
    uint32_t struct_size;         /* sizeof(llama4_model_params) */
    uint32_t flags;               /* LLAMA4_MODEL_ values, or 0 */
    llama4_allocate_fn allocate;  /* (nullable) both or neither; inherited by everything made from the model */
    llama4_release_fn release;    /* (nullable) */
    void *allocator_user;
    llama4_log_fn log;            /* (nullable) inherited */
    void *log_user;
    llama4_progress_fn progress;  /* (nullable) while opening; not inherited */
    void *progress_user;
    const char *vocabulary_path;  /* (nullable) a tokenizer.json, tokenizer.model or GGUF to take the vocabulary from */
    int32_t cpu_level;            /* LLAMA4_CPU_ value that caps the instruction set; 0: whatever this machine has */
    int32_t reserved;             /* 0 */
    const char *vision_path;      /* (since 1.1) (nullable) the picture encoder: a GGUF file of its own ("mmproj"), or a Hugging
                                     Face directory. A model that is itself such a directory brings its own */
    int64_t memory_bytes;         /* (since 1.1) weights, contexts and all that they grow to shall stay within so many bytes;
                                     0: what the machine, or the process's control group, has, less what the system
                                     needs. Experts that do not fit are read from the files when they are needed, past
                                     the system's cache, with the same results. The vocabulary and pictures come on top */
    int32_t expert_slots;         /* (since 1.1) at most so many routed experts in memory, 2 or more; 0: as many as fit */
    int32_t reserved_2;           /* (since 1.1) 0 */
} llama4_model_params;

/** LLAMA4_MODEL_: (flags): of llama4_model_params. */
#define LLAMA4_MODEL_HEADER_ONLY 1u /* read shapes and names only: no weights, no vocabulary; for llama4_model_get_info */
#define LLAMA4_MODEL_STREAM 2u      /* (since 1.1) read experts when they are needed even if all would fit into memory */

/** LLAMA4_CPU_: (values): instruction sets, for the cpu_level of llama4_model_params and llama4_context_info. */
#define LLAMA4_CPU_AUTO 0    /* whatever this machine has */
#define LLAMA4_CPU_GENERIC 1 /* SSE2 on x86-64, elsewhere portable C; every level gives the same bits */
#define LLAMA4_CPU_AVX2 16   /* x86-64 with AVX2, FMA and F16C */
#define LLAMA4_CPU_AVX2_VNNI 24   /* the same with AVX-VNNI */
#define LLAMA4_CPU_AVX512 32      /* x86-64 with AVX-512 F, BW, DQ and VL */
#define LLAMA4_CPU_AVX512_VNNI 40 /* the same with AVX-512 VNNI */
#define LLAMA4_CPU_AVX512_VBMI 48 /* (since 1.1) the same with AVX-512 VBMI */
#define LLAMA4_CPU_NEON 64        /* (since 1.1) ARM64, all of which has NEON */
#define LLAMA4_CPU_NEON_DOTPROD 72 /* (since 1.1) the same with the dot products of ARMv8.2 */

/** llama4_model_params_init: fills the defaults. @size is sizeof(llama4_model_params) of the caller's header.
 * @params: (out). */
LLAMA4_API llama4_status llama4_model_params_init(llama4_model_params *params, size_t size);

/** llama4_vocab: a vocabulary: immutable, counted, shared by any number of threads. */
typedef struct llama4_vocab llama4_vocab;

/** llama4_vocab_open: a vocabulary alone, from a GGUF file, a tokenizer.json, a tiktoken tokenizer.model, or a directory
 * that holds one of the last two.
 * @params: (nullable): hooks are used, the rest ignored.
 * @vocab: (out) (transfer full): release with llama4_vocab_release. */
LLAMA4_API llama4_status llama4_vocab_open(const char *path, const llama4_model_params *params, llama4_vocab **vocab, llama4_error *error);

/** llama4_vocab_ref: one more owner. Returns: (transfer full): @vocab. */
LLAMA4_API llama4_vocab *llama4_vocab_ref(llama4_vocab *vocab);

/** llama4_vocab_release: one owner less. @vocab: (nullable) (transfer full). */
LLAMA4_API void llama4_vocab_release(llama4_vocab *vocab);

/** llama4_vocab_get_size: number of token ids, special ones included; ids are 0 .. size - 1. Returns 0 for NULL. */
LLAMA4_API int32_t llama4_vocab_get_size(const llama4_vocab *vocab);

/** llama4_vocab_find: the id of the token whose bytes (or, for a special token, whose name, such as "<|eot|>") are exactly
 * @bytes, or -1.
 * @bytes: (array length=length): any bytes. */
LLAMA4_API int32_t llama4_vocab_find(const llama4_vocab *vocab, const char *bytes, size_t length);

/** LLAMA4_TOKEN_: (flags): what kind of token an id is. */
#define LLAMA4_TOKEN_ORDINARY 0u /* text, or a part of it */
#define LLAMA4_TOKEN_SPECIAL 1u /* never produced from user text, and invisible in detokenised text */
#define LLAMA4_TOKEN_STOP 2u    /* generation ends here: end_of_text, eom, eot */
#define LLAMA4_TOKEN_UNUSED 4u  /* a hole in the vocabulary */

/** llama4_vocab_token_flags: LLAMA4_TOKEN_ bits of an id; 0 for ids out of range. */
LLAMA4_API uint32_t llama4_vocab_token_flags(const llama4_vocab *vocab, int32_t token);

/** llama4_vocab_token_bytes: the bytes that a token stands for (any bytes: a token may hold part of a code point), or a
 * special token's name.
 * @bytes: (out) (array length=capacity): not NUL-terminated.
 * @count: (out): bytes needed. */
LLAMA4_API llama4_status llama4_vocab_token_bytes(const llama4_vocab *vocab, int32_t token, char *bytes, size_t capacity,
                                                  size_t *count, llama4_error *error);

/** LLAMA4_TOKENIZE_: (flags): of llama4_vocab_tokenize. */
#define LLAMA4_TOKENIZE_PLAIN 0u    /* the text and nothing else */
#define LLAMA4_TOKENIZE_BOS 1u      /* put <|begin_of_text|> first */
#define LLAMA4_TOKENIZE_SPECIAL 2u  /* recognise names of special tokens in the text: never for text of users */

/** llama4_vocab_tokenize: splits text into token ids, exactly as Meta's tokeniser does.
 * @text: (array length=length): UTF-8, need not be NUL-terminated; LLAMA4_ERR_UTF8 names the first bad byte.
 * @tokens: (out) (array length=capacity): ids.
 * @count: (out): ids needed; at most length + 1. */
LLAMA4_API llama4_status llama4_vocab_tokenize(const llama4_vocab *vocab, const char *text, size_t length, uint32_t flags,
                                               int32_t *tokens, size_t capacity, size_t *count, llama4_error *error);

/** LLAMA4_DETOKENIZE_: (flags): of llama4_vocab_detokenize and llama4_detokenizer_create. */
#define LLAMA4_DETOKENIZE_SPECIAL 1u /* write the names of special tokens; otherwise they give no text */

/** llama4_vocab_detokenize: the bytes of a row of tokens, joined. Valid UTF-8 if the tokens came from valid UTF-8.
 * @tokens: (array length=n_tokens): ids.
 * @flags: LLAMA4_DETOKENIZE_ values, or 0.
 * @text: (out) (array length=capacity): not NUL-terminated.
 * @count: (out): bytes needed. */
LLAMA4_API llama4_status llama4_vocab_detokenize(const llama4_vocab *vocab, const int32_t *tokens, size_t n_tokens,
                                                 uint32_t flags, char *text, size_t capacity, size_t *count,
                                                 llama4_error *error);

/** llama4_detokenizer: turns tokens into text one at a time and never splits a code point: bytes wait until the code
 * point they belong to is complete. Bytes that can never become valid UTF-8 come out as U+FFFD. */
typedef struct llama4_detokenizer llama4_detokenizer;

/** llama4_detokenizer_create: a detokenizer that waits for its first token.
 * @flags: LLAMA4_DETOKENIZE_ values, or 0.
 * @detokenizer: (out) (transfer full): holds a reference to @vocab. */
LLAMA4_API llama4_status llama4_detokenizer_create(llama4_vocab *vocab, uint32_t flags, llama4_detokenizer **detokenizer, llama4_error *error);

/** llama4_detokenizer_release: the end of a detokenizer. @detokenizer: (nullable) (transfer full). */
LLAMA4_API void llama4_detokenizer_release(llama4_detokenizer *detokenizer);

/** llama4_detokenizer_push: adds a token and hands out the text that is complete.
 * @text: (out) (transfer none) (array length=length): valid UTF-8, not NUL-terminated, valid until the next call on @detokenizer.
 * @length: (out): bytes, often 0 in the middle of a code point. */
LLAMA4_API llama4_status llama4_detokenizer_push(llama4_detokenizer *detokenizer, int32_t token, const char **text,
                                                 size_t *length, llama4_error *error);

/** llama4_detokenizer_finish: hands out what still waits, as U+FFFD if it is incomplete, and starts afresh.
 * @text: (out) (transfer none) (array length=length): as for llama4_detokenizer_push.
 * @length: (out): bytes. */
LLAMA4_API llama4_status llama4_detokenizer_finish(llama4_detokenizer *detokenizer, const char **text, size_t *length, llama4_error *error);

/* ---- Pictures ---------------------------------------------------------------------------------------------------- */

/** llama4_image: (since 1.1): a picture: immutable, counted, and usable by any number of threads and models at once. */
typedef struct llama4_image llama4_image;

/** llama4_embeddings: (since 1.1): what a model makes of a picture: rows of numbers that stand in a prompt like tokens.
 * Immutable, counted, and usable by any number of threads at once. */
typedef struct llama4_embeddings llama4_embeddings;

/** llama4_image_params: (since 1.1): limits on what is read, and into how many tiles it may be cut. */
typedef struct llama4_image_params {
    uint32_t struct_size;         /* sizeof(llama4_image_params) */
    uint32_t flags;               /* LLAMA4_IMAGE_ values, or 0 */
    llama4_allocate_fn allocate;  /* (nullable) both or neither. Decoding JPEG takes memory from the C library besides, because
                                     TurboJPEG offers nothing else */
    llama4_release_fn release;    /* (nullable) */
    void *allocator_user;
    int64_t max_pixels;           /* a picture with more is refused; 0: 134217728 */
    int64_t max_bytes;            /* a file with more is refused; 0: 268435456 */
    int32_t max_tiles;            /* 1 .. 64: tiles at most, besides the one that shows the whole picture; 0: as the model has it,
                                     which is 16 for Meta's. A frame of a video has 1 */
    int32_t reserved;             /* 0 */
} llama4_image_params;

/** LLAMA4_IMAGE_: (flags): of llama4_image_params. */
#define LLAMA4_IMAGE_AS_STORED 1u /* do not turn a JPEG upright: the reference takes no notice of Exif's orientation */

/** llama4_image_params_init: (since 1.1): fills the defaults. @params: (out). */
LLAMA4_API llama4_status llama4_image_params_init(llama4_image_params *params, size_t size);

/** llama4_image_open: (since 1.1): reads a PNG or JPEG file, told apart by its content. Of 16 bits a colour, 8 count;
 * what is transparent lies over white; grey, palettes and CMYK become RGB. A damaged file is refused as a whole.
 * @params: (nullable).
 * @image: (out) (transfer full): release with llama4_image_release. */
LLAMA4_API llama4_status llama4_image_open(const char *path, const llama4_image_params *params, llama4_image **image, llama4_error *error);

/** llama4_image_open_memory: (since 1.1): the same from the bytes of a file.
 * @data: (array length=size): no longer needed when the call returns.
 * @params: (nullable).
 * @image: (out) (transfer full): release with llama4_image_release. */
LLAMA4_API llama4_status llama4_image_open_memory(const void *data, size_t size, const llama4_image_params *params,
                                                  llama4_image **image, llama4_error *error);

/** llama4_image_create: (since 1.1): a picture from pixels, row after row from the top, copied.
 * @pixels: (array length=size): 8 bits a channel.
 * @stride: bytes from one row to the next; 0: rows follow each other.
 * @channels: 1 (grey), 3 (RGB) or 4 (RGBA, laid over white).
 * @params: (nullable).
 * @image: (out) (transfer full): release with llama4_image_release. */
LLAMA4_API llama4_status llama4_image_create(const void *pixels, size_t size, int32_t width, int32_t height, size_t stride,
                                             int32_t channels, const llama4_image_params *params, llama4_image **image,
                                             llama4_error *error);

/** llama4_image_create_tiles: (since 1.1): a picture that the program has cut up and normalised itself, copied.
 * @tiles: (array length=n): float32 [tiles][3][@tile_size][@tile_size], row after row of the grid; if there are several, the
 * whole picture behind them.
 * @columns: of the grid.
 * @rows: of the grid; @columns * @rows is 1 .. 64.
 * @params: (nullable): hooks are used, the rest ignored.
 * @image: (out) (transfer full): release with llama4_image_release. */
LLAMA4_API llama4_status llama4_image_create_tiles(const float *tiles, size_t n, int32_t columns, int32_t rows,
                                                   int32_t tile_size, const llama4_image_params *params,
                                                   llama4_image **image, llama4_error *error);

/** llama4_image_ref: (since 1.1): one more owner. Returns: (transfer full): @image. */
LLAMA4_API llama4_image *llama4_image_ref(llama4_image *image);

/** llama4_image_release: (since 1.1): one owner less. @image: (nullable) (transfer full). */
LLAMA4_API void llama4_image_release(llama4_image *image);

/* ---- Chat format ------------------------------------------------------------------------------------------------ */

/** llama4_tool_call: one function call inside an assistant's message. */
typedef struct llama4_tool_call {
    uint32_t struct_size;      /* sizeof(llama4_tool_call) */
    uint32_t reserved;         /* 0 */
    const char *name;          /* NUL-terminated UTF-8 */
    const char *arguments;     /* NUL-terminated JSON object; spacing is normalised */
} llama4_tool_call;

/** llama4_part: (since 1.1): one piece of a message: one of text, image and embeddings. */
typedef struct llama4_part {
    uint32_t struct_size;                /* sizeof(llama4_part) */
    uint32_t flags;                      /* LLAMA4_PART_ values, or 0 */
    const char *text;                    /* (nullable) UTF-8 */
    uint64_t text_length;                /* bytes; 0: text is NUL-terminated */
    const llama4_image *image;           /* (nullable) */
    const llama4_embeddings *embeddings; /* (nullable) a picture that was encoded before */
    double seconds;                      /* of a frame, from the video's beginning: 0 .. 1e9 */
} llama4_part;

/** LLAMA4_PART_: (flags): of llama4_part. */
#define LLAMA4_PART_FRAME 1u /* a picture that is a frame of a video: its time, such as "[1:23.4] ", stands before it, and
                                an image is cut into one tile */

/** LLAMA4_MESSAGE_: (flags): of llama4_message. */
#define LLAMA4_MESSAGE_EOM 1u /* end an assistant's message with eom instead of eot: more of the same turn follows */

/** llama4_message: one message of a conversation. */
typedef struct llama4_message {
    uint32_t struct_size;                /* sizeof(llama4_message) */
    uint32_t flags;                      /* LLAMA4_MESSAGE_ values, or 0 */
    const char *role;                    /* "system", "user", "assistant", or "tool" (alias "ipython") */
    const char *content;                 /* (nullable) UTF-8 */
    uint64_t content_length;             /* bytes; 0: content is NUL-terminated */
    const llama4_tool_call *tool_calls;  /* (nullable) (array length=n_tool_calls stride=tool_call_stride) of an assistant's
                                            message */
    uint64_t n_tool_calls;               /* how many */
    uint64_t tool_call_stride;           /* sizeof(llama4_tool_call) when n_tool_calls is not 0 */
    const llama4_part *parts;            /* (since 1.1) (nullable) (array length=n_parts stride=part_stride) text and pictures in
                                            their order, in place of content, which is then NULL */
    uint64_t n_parts;                    /* (since 1.1) how many */
    uint64_t part_stride;                /* (since 1.1) sizeof(llama4_part) when n_parts is not 0 */
} llama4_message;

/** LLAMA4_CHAT_: (flags): of llama4_chat_tokenize. */
#define LLAMA4_CHAT_NO_BOS 1u    /* do not begin with <|begin_of_text|>: the messages continue a conversation */
#define LLAMA4_CHAT_NO_HEADER 2u /* do not end with the header that opens the assistant's answer */

/** llama4_chat_tokenize: token ids of a conversation up to and including the header of the assistant's answer, by Meta's
 * rules: role, separator and content are encoded apart, and content never yields special tokens. Messages end with
 * eot; tool results, and assistant messages with tool calls, end with eom. Where a picture stands, its tiles' <|patch|> ids hold
 * the place of its embeddings. How many those are, the vocabulary knows from its model; one opened alone takes Meta's
 * tiles of 336 x 336 pixels and 144 embeddings.
 * @messages: (array length=n_messages stride=stride): @stride is sizeof(llama4_message) of the caller's header.
 * @tokens: (out) (array length=capacity): ids.
 * @count: (out): ids needed. */
LLAMA4_API llama4_status llama4_chat_tokenize(const llama4_vocab *vocab, const llama4_message *messages, size_t n_messages,
                                              size_t stride, uint32_t flags, int32_t *tokens, size_t capacity,
                                              size_t *count, llama4_error *error);

/* ---- Models ----------------------------------------------------------------------------------------------------- */

/** llama4_model: an open model: immutable, counted, shared by any number of threads and contexts. */
typedef struct llama4_model llama4_model;

/** llama4_model_open: opens a GGUF file (any part of a split one), or a Hugging Face directory (config.json and
 * safetensors). They may change once this has returned, unless experts are streamed, or pictures encoded from them.
 * @params: (nullable).
 * @model: (out) (transfer full): release with llama4_model_release. */
LLAMA4_API llama4_status llama4_model_open(const char *path, const llama4_model_params *params, llama4_model **model, llama4_error *error);

/** llama4_model_open_fd: the same from an open file descriptor of a single GGUF file, for programs that may not open paths.
 * The descriptor is not closed and may be closed once the call returns. On Windows it is one of the C runtime that the library uses.
 * @params: (nullable).
 * @model: (out) (transfer full): release with llama4_model_release. */
LLAMA4_API llama4_status llama4_model_open_fd(int32_t fd, const llama4_model_params *params, llama4_model **model, llama4_error *error);

/** llama4_model_open_memory: the same from the bytes of a single GGUF file.
 * @data: (array length=size): not copied: must live, unchanged, until the last reference to the model is gone.
 * @params: (nullable).
 * @model: (out) (transfer full): release with llama4_model_release. */
LLAMA4_API llama4_status llama4_model_open_memory(const void *data, size_t size, const llama4_model_params *params,
                                                  llama4_model **model, llama4_error *error);

/** llama4_model_ref: one more owner. Returns: (transfer full): @model. */
LLAMA4_API llama4_model *llama4_model_ref(llama4_model *model);

/** llama4_model_release: one owner less; contexts and samplers are owners too. @model: (nullable) (transfer full). */
LLAMA4_API void llama4_model_release(llama4_model *model);

/** llama4_model_get_vocab: the vocabulary that came with a model.
 * Returns: (nullable) (transfer none): lives as long as @model; NULL if the file has none. */
LLAMA4_API llama4_vocab *llama4_model_get_vocab(const llama4_model *model);

/** llama4_model_info: a model's shape. The caller sets struct_size; fields beyond it are not written. */
typedef struct llama4_model_info {
    uint32_t struct_size;               /* sizeof(llama4_model_info) */
    int32_t layers;                     /* transformer blocks */
    int32_t embedding_length;           /* width of the residual stream */
    int32_t heads;                      /* query heads */
    int32_t kv_heads;                   /* key and value heads */
    int32_t head_length;                /* numbers per head */
    int32_t feed_forward_length;        /* hidden width of dense layers; 0: there are none */
    int32_t expert_feed_forward_length; /* hidden width of an expert; 0: there are none */
    int32_t experts;                    /* routed experts per mixture layer; 0: a dense model */
    int32_t experts_used;               /* experts per token */
    int32_t moe_layers;                 /* number of mixture-of-experts layers */
    int32_t rope_layers;                /* number of layers with rotary positions; the others see the whole context */
    int32_t chunk_size;                 /* positions that layers with rotary positions see together; 0: all */
    int32_t vocab_size;                 /* rows of the output matrix: ids that llama4_context_logits speaks of */
    int64_t context_length;             /* positions that the model was made for */
    int64_t parameters;                 /* of the text model */
    int64_t active_parameters;          /* used for one token */
    int64_t tensor_bytes;               /* of all tensors in the files */
    int32_t tensors;                    /* number of tensors, for llama4_model_get_tensor */
    int32_t files;                      /* number of files that hold them */
    int32_t qk_norm;                    /* 1: queries and keys are normalised in layers with rotary positions */
    int32_t has_vocabulary;             /* 1: the files carry a vocabulary, even when it was not loaded */
    float rope_base;                    /* frequency base */
    float rope_factor;                  /* largest divisor of the frequencies; 1: no scaling */
    float temperature_scale;            /* attention temperature in layers without rotary positions; 0: off */
    int32_t temperature_length;         /* positions per step of that temperature */
    float norm_epsilon;                 /* added to the mean square in norms */
    int32_t reserved;                   /* 0 */
    char format[32];                    /* such as "GGUF v3" or "safetensors" */
    char name[96];                      /* as the file gives it, or "" */
    char type[32];                      /* the type that most weight bytes have, such as "Q8_0" */
    int32_t vision_layers;              /* (since 1.1) blocks of the picture encoder; 0: there is none */
    int32_t vision_width;               /* (since 1.1) width of its residual stream */
    int32_t vision_heads;               /* (since 1.1) its attention heads */
    int32_t vision_feed_forward_length; /* (since 1.1) its hidden width */
    int32_t tile_size;                  /* (since 1.1) pixels along a tile's side */
    int32_t patch_size;                 /* (since 1.1) pixels along the side of what becomes one token of the encoder */
    int32_t tile_tokens;                /* (since 1.1) embeddings that a tile becomes */
    int32_t max_tiles;                  /* (since 1.1) tiles of a picture, besides the one that shows the whole */
    int64_t vision_parameters;          /* (since 1.1) of the picture encoder */
} llama4_model_info;

/** llama4_model_get_info: what kind of model it is. @info: (out): struct_size set by the caller. */
LLAMA4_API llama4_status llama4_model_get_info(const llama4_model *model, llama4_model_info *info, llama4_error *error);

/** llama4_tensor_info: one tensor of the model's files, as stored there. The caller sets struct_size. */
typedef struct llama4_tensor_info {
    uint32_t struct_size;   /* sizeof(llama4_tensor_info) */
    int32_t n_dims;         /* 1 .. 4 */
    int64_t dims[4];        /* fastest-changing first; 1 beyond n_dims */
    int64_t bytes;          /* size */
    int64_t offset;         /* in its file, from the start */
    const char *name;       /* (transfer none) lives as long as the model */
    const char *type_name;  /* (transfer none) such as "Q4_0"; lives for ever */
    int32_t file;           /* number of the file, from 0 */
    int32_t type;           /* LLAMA4_TYPE_ value, or another number that GGUF defines */
    int32_t path;           /* (since 1.1) LLAMA4_PATH_ value: how it takes part in computing text */
    int32_t reserved;       /* (since 1.1) 0 */
} llama4_tensor_info;

/** LLAMA4_PATH_: (values): what becomes of a tensor, for the path of llama4_tensor_info (since 1.1). */
#define LLAMA4_PATH_UNUSED 0 /* not needed for text, such as pictures' part of a model */
#define LLAMA4_PATH_FLOAT 1  /* products in float32, read where it lies in the file */
#define LLAMA4_PATH_INT8 2   /* packed sixteen rows wide when the model opens, products with int8 activations */
#define LLAMA4_PATH_ROWS 3   /* single rows are looked up where it lies in the file */
#define LLAMA4_PATH_VECTOR 4 /* becomes float32 when the model opens */

/** LLAMA4_TYPE_: (values): types of tensors, with GGUF's numbers. */
#define LLAMA4_TYPE_F32 0
#define LLAMA4_TYPE_F16 1
#define LLAMA4_TYPE_Q4_0 2
#define LLAMA4_TYPE_Q8_0 8
#define LLAMA4_TYPE_BF16 30

/** llama4_model_get_tensor: one tensor, by its @index from 0 to llama4_model_info.tensors - 1.
 * @info: (out): struct_size set by the caller. */
LLAMA4_API llama4_status llama4_model_get_tensor(const llama4_model *model, int32_t index, llama4_tensor_info *info, llama4_error *error);

/* ---- Memory --------------------------------------------------------------------------------------------------------- */

/** llama4_memory_info: (since 1.1): what weights take, and how experts came into memory so far. The caller sets struct_size. */
typedef struct llama4_memory_info {
    uint32_t struct_size;     /* sizeof(llama4_memory_info) */
    int32_t streaming;        /* 1: experts are read when they are needed; 0: all weights are in memory */
    int64_t limit_bytes;      /* the budget; 0: there is none */
    int64_t used_bytes;       /* of it now, contexts included; 0 without a budget */
    int64_t resident_bytes;   /* weights that stay in memory */
    int64_t expert_bytes;     /* that a routed expert takes in memory; 0: not streaming, like all below */
    int64_t expert_count;     /* routed experts of all layers */
    int64_t expert_slots;     /* of those in memory now, or on their way */
    int64_t requests;         /* experts that batches needed; an expert counts once for each batch and layer */
    int64_t hits;             /* of those, in memory when they were asked for */
    int64_t read_ahead;       /* experts read before they were asked for */
    int64_t wasted;           /* of those, given up without having been used */
    int64_t bytes_read;       /* from the files since they were opened, resident weights included */
    double read_seconds;      /* while something was being read */
    double wait_seconds;      /* that decoding waited for experts */
    int32_t direct;           /* 1: reads go past the system's cache; 0: the file system refuses that */
    int32_t reserved;         /* 0 */
    int64_t guesses;          /* experts guessed a layer early by batches of few tokens */
    int64_t guesses_right;    /* of those; they are read ahead only while three quarters of the latest were */
} llama4_memory_info;

/** llama4_model_get_memory: (since 1.1): how a model uses memory now. May be called while contexts are at work.
 * @info: (out): struct_size set by the caller. */
LLAMA4_API llama4_status llama4_model_get_memory(llama4_model *model, llama4_memory_info *info, llama4_error *error);

/** llama4_model_save_experts: (since 1.1): writes which experts are in memory to a small file for llama4_model_load_experts. Both
 * give LLAMA4_ERR_STATE for a model that does not stream. */
LLAMA4_API llama4_status llama4_model_save_experts(llama4_model *model, const char *path, llama4_error *error);

/** llama4_model_load_experts: (since 1.1): starts to read the experts that were in memory at llama4_model_save_experts, as many
 * as there is room for, in the background. A file of a model of another shape gives LLAMA4_ERR_FORMAT. */
LLAMA4_API llama4_status llama4_model_load_experts(llama4_model *model, const char *path, llama4_error *error);

/* ---- Plans: will it fit, and how fast will it be ------------------------------------------------------------------ */

/** llama4_plan_params: (since 1.1): what to plan for. */
typedef struct llama4_plan_params {
    uint32_t struct_size;         /* sizeof(llama4_plan_params) */
    uint32_t flags;               /* LLAMA4_PLAN_ values, or 0 */
    llama4_allocate_fn allocate;  /* (nullable) both or neither */
    llama4_release_fn release;    /* (nullable) */
    void *allocator_user;
    const char *shape;            /* (nullable) in place of a file: "scout", "maverick" or "behemoth" */
    const char *type;             /* (nullable) as for llama4_convert, of tensors that no file at hand tells of. NULL: "q4_0" for shapes */
    int64_t memory_bytes;         /* as in llama4_model_params */
    int64_t context_length;       /* positions of one sequence; 0: 8192, or fewer if the model was made for fewer */
    int32_t batch_size;           /* tokens of the prompt that prefill_rate is about, 1 .. 8192; 0: 512 */
    int32_t threads;              /* 0: one per processor */
    int32_t kv_type;              /* LLAMA4_KV_ value */
    int32_t reserved;             /* 0 */
    double memory_rate;           /* as in llama4_plan_result, from an earlier measurement; 0: unknown */
    double compute_rate;          /* likewise */
    double disk_rate;             /* likewise */
} llama4_plan_params;

/** LLAMA4_PLAN_: (flags): of llama4_plan_params. */
#define LLAMA4_PLAN_MEASURE 1u /* find out the rates that are 0, in less than 2 seconds, with 300 MB of memory */

/** llama4_plan_params_init: (since 1.1): fills the defaults. @params: (out). */
LLAMA4_API llama4_status llama4_plan_params_init(llama4_plan_params *params, size_t size);

/** llama4_plan_result: (since 1.1): what a model needs. The caller sets struct_size. Rates are 0 where they are unknown. */
typedef struct llama4_plan_result {
    uint32_t struct_size;         /* sizeof(llama4_plan_result) */
    int32_t fits;                 /* LLAMA4_FITS_ value */
    int32_t guessed_shape;        /* 1: a shape of which only totals were announced */
    int32_t missing_files;        /* absent, or cut off behind their headers */
    int64_t memory_bytes;         /* that the model may use */
    int64_t least_bytes;          /* with fewer it cannot run */
    int64_t whole_bytes;          /* with as many all weights stay in memory */
    int64_t weight_bytes;         /* of the text model's tensors, as stored */
    int64_t estimated_bytes;      /* of those, not known from headers: shapes follow from the others, types probably */
    int64_t resident_bytes;       /* of weights that are always in memory */
    int64_t pool_bytes;           /* for routed experts: what the rest leaves, or all of them; 0 if it does not fit */
    int64_t kv_bytes;             /* of keys and values when the sequence is full */
    int64_t scratch_bytes;        /* of intermediate results, vocabulary and tables */
    int64_t expert_bytes;         /* of the largest routed expert */
    int64_t experts;              /* routed experts, of all layers together */
    int64_t cached_experts;       /* of those, how many the pool holds */
    int64_t context_length;       /* positions */
    int64_t parameters;           /* of the text model */
    int64_t active_parameters;    /* used for one token */
    double memory_rate;           /* bytes of weights per second that one token's products get through */
    double compute_rate;          /* operations per second of a prompt's products; a multiplication and an addition are two */
    double disk_rate;             /* bytes per second read from the file past the system's cache */
    double decode_rate;           /* tokens per second one by one, in the beginning of a sequence */
    double full_decode_rate;      /* the same at its end */
    double prefill_rate;          /* tokens per second of a prompt */
    char name[96];                /* as the file gives it, or "" */
    char type[32];                /* the type that most weight bytes have */
} llama4_plan_result;

/** LLAMA4_FITS_: (values): whether a model runs in the memory of a llama4_plan_result (since 1.1). */
#define LLAMA4_FITS_NOT 0      /* it needs least_bytes */
#define LLAMA4_FITS_STREAMED 1 /* routed experts that the pool does not hold are read when a token needs them */
#define LLAMA4_FITS_WHOLE 2    /* all weights stay in memory */

/** llama4_plan: (since 1.1): what a model needs and how it will run on this machine, from the headers of its files alone: the
 * first part of a split model will do, or config.json and the index of a Hugging Face directory. Takes milliseconds.
 * @path: (nullable): a GGUF file or a directory; NULL: llama4_plan_params.shape. @params: (nullable).
 * @result: (out): struct_size set by the caller. */
LLAMA4_API llama4_status llama4_plan(const char *path, const llama4_plan_params *params, llama4_plan_result *result, llama4_error *error);

/* ---- Contexts: the state of running sequences -------------------------------------------------------------------- */

/** llama4_context: the sequences that a model works on, their keys and values, and threads. */
typedef struct llama4_context llama4_context;

/** llama4_context_params: how long, how wide and with how many threads a context works. */
typedef struct llama4_context_params {
    uint32_t struct_size;         /* sizeof(llama4_context_params) */
    uint32_t flags;               /* 0 */
    int64_t context_length;       /* of a sequence, at most 16777216; 0: as the model was made for. Memory grows only with use */
    int32_t threads;              /* 0: one per processor that this process may use, affinity and quotas of control
                                     groups considered, at most 64. More than there are processors start no thread */
    int32_t batch_size;           /* tokens computed together, 1 .. 8192; 0: 2048, or 4096 when experts are streamed. More is
                                     faster and needs more memory: with a budget, fewer may be taken */
    int32_t sequences;            /* independent sequences, ids 0 .. sequences - 1; 0: 64 */
    int32_t kv_type;              /* LLAMA4_KV_ value: how keys and values are kept */
    llama4_progress_fn progress;  /* (nullable) during decodes of more than one token; every layer is a step */
    void *progress_user;
} llama4_context_params;

/** LLAMA4_KV_: (values): number types of keys and values, for llama4_context_params. */
#define LLAMA4_KV_DEFAULT 0 /* I16 */
#define LLAMA4_KV_F16 1
#define LLAMA4_KV_F32 2 /* twice the memory; differs from F16 around the fourth digit of a logit */
#define LLAMA4_KV_I16 3 /* 14-bit integers, a scale for each head's key and value: nearer to F32 than F16 is; faster at long prompts */
#define LLAMA4_KV_Q8_0 4 /* 8-bit integers, a scale for each 32: little more than half the memory of I16 */

/** llama4_context_params_init: fills the defaults. @params: (out). */
LLAMA4_API llama4_status llama4_context_params_init(llama4_context_params *params, size_t size);

/** llama4_context_create: a context with empty sequences. @params: (nullable).
 * @context: (out) (transfer full): holds a reference to @model, and threads that sleep while no call is under way. */
LLAMA4_API llama4_status llama4_context_create(llama4_model *model, const llama4_context_params *params,
                                               llama4_context **context, llama4_error *error);

/** llama4_context_release: the end of a context. @context: (nullable) (transfer full). */
LLAMA4_API void llama4_context_release(llama4_context *context);

/** llama4_context_get_model: the model of a context. Returns: (transfer none): lives as long as @context. */
LLAMA4_API llama4_model *llama4_context_get_model(const llama4_context *context);

/** llama4_batch_item: one token to compute. */
typedef struct llama4_batch_item {
    int32_t token;     /* id */
    int32_t sequence;  /* which sequence it continues */
    int64_t position;  /* must be the next one of its sequence; -1: the library counts */
    int32_t logits;    /* non-zero: keep its logits */
    int32_t reserved;  /* 0 */
} llama4_batch_item;

/** llama4_context_decode: computes tokens and appends them to their sequences. Any mix of sequences may share a batch, of
 * any size; a token's result never depends on what else the batch holds, nor on the number of threads. A call that
 * fails or is cancelled leaves every sequence as it was; logits of earlier calls are gone.
 * @items: (array length=n_items stride=stride): @stride is sizeof(llama4_batch_item) of the caller's header. */
LLAMA4_API llama4_status llama4_context_decode(llama4_context *context, const llama4_batch_item *items, size_t n_items,
                                               size_t stride, llama4_error *error);

/** llama4_context_logits: the logits of one item of the last decode.
 * @item: index in that batch; it must have asked for logits.
 * @logits: (out) (transfer none) (array length=count): float32, one per id; valid until the next call that changes @context.
 * @count: (out) (nullable): llama4_model_info.vocab_size. */
LLAMA4_API llama4_status llama4_context_logits(const llama4_context *context, size_t item, const float **logits, size_t *count, llama4_error *error);

/** llama4_context_cancel: makes the decode that runs in another thread (or else the next one) return
 * LLAMA4_ERR_CANCELLED soon. May be called from any thread, and from a signal handler. */
LLAMA4_API void llama4_context_cancel(llama4_context *context);

/** llama4_context_sequence_length: positions that a sequence holds: its next position. -1 for an id out of range. */
LLAMA4_API int64_t llama4_context_sequence_length(const llama4_context *context, int32_t sequence);

/** llama4_context_truncate: shortens a sequence to its first @length positions; 0 empties it. Layers with rotary positions
 * keep the current chunk only, so lengths before its start, other than 0, give LLAMA4_ERR_STATE. */
LLAMA4_API llama4_status llama4_context_truncate(llama4_context *context, int32_t sequence, int64_t length, llama4_error *error);

/** llama4_context_fork: makes sequence @to a copy of @from, sharing memory until they differ: a cheap way to reuse a
 * common prompt. What @to held is dropped. */
LLAMA4_API llama4_status llama4_context_fork(llama4_context *context, int32_t from, int32_t to, llama4_error *error);

/** llama4_context_info: what a context is and holds. The caller sets struct_size. */
typedef struct llama4_context_info {
    uint32_t struct_size;    /* sizeof(llama4_context_info) */
    int32_t threads;         /* in use */
    int64_t context_length;  /* positions per sequence */
    int64_t kv_bytes;        /* held by keys and values now */
    int64_t scratch_bytes;   /* held by intermediate results and logits now */
    int32_t batch_size;      /* tokens computed together */
    int32_t sequences;       /* independent sequences */
    int32_t kv_type;         /* LLAMA4_KV_ value */
    int32_t cpu_level;       /* LLAMA4_CPU_ value in use */
} llama4_context_info;

/** llama4_context_get_info: what a context uses now. @info: (out): struct_size set by the caller. */
LLAMA4_API llama4_status llama4_context_get_info(const llama4_context *context, llama4_context_info *info, llama4_error *error);

/** llama4_context_get_expert_counts: (since 1.1): how a context's tokens were routed: of those computed so far, how many went to
 * each routed expert of a layer.
 * @layer: 0 .. llama4_model_info.layers - 1.
 * @counts: (out) (array length=capacity): tokens; all 0 for a dense layer.
 * @count: (out): llama4_model_info.experts. */
LLAMA4_API llama4_status llama4_context_get_expert_counts(const llama4_context *context, int32_t layer, uint64_t *counts,
                                                          size_t capacity, size_t *count, llama4_error *error);

/** llama4_context_decode_embeddings: (since 1.1): llama4_context_decode, with rows of embeddings among the tokens: each item whose
 * token is -1, or the vocabulary's <|patch|>, takes the next row.
 * @items: (array length=n_items stride=stride): @stride is sizeof(llama4_batch_item) of the caller's header.
 * @embeddings: (array length=n): float32, as many rows of llama4_model_info.embedding_length as items take. */
LLAMA4_API llama4_status llama4_context_decode_embeddings(llama4_context *context, const llama4_batch_item *items,
                                                          size_t n_items, size_t stride, const float *embeddings, size_t n,
                                                          llama4_error *error);

/* ---- Pictures to embeddings -------------------------------------------------------------------------------------- */

/** llama4_image_info: (since 1.1): how a model sees a picture. The caller sets struct_size. */
typedef struct llama4_image_info {
    uint32_t struct_size; /* sizeof(llama4_image_info) */
    int32_t width;        /* pixels; 0 for llama4_image_create_tiles */
    int32_t height;       /* pixels, likewise */
    int32_t columns;      /* tiles of the grid */
    int32_t rows;         /* tiles of the grid */
    int32_t tiles;        /* in all: several have one behind them that shows the whole picture */
    int32_t embeddings;   /* rows that it becomes */
    int32_t tokens;       /* ids that it takes in a prompt: embeddings, and what stands around them */
} llama4_image_info;

/** llama4_image_get_info: (since 1.1): a picture's size and tiles.
 * @model: (nullable): whose tiles; NULL: Meta's, of 336 x 336 pixels and 144 embeddings.
 * @info: (out): struct_size set by the caller. */
LLAMA4_API llama4_status llama4_image_get_info(const llama4_image *image, const llama4_model *model, llama4_image_info *info, llama4_error *error);

/** llama4_image_encode: (since 1.1): computes a picture's embeddings with the threads of @context, whose sequences stay as they
 * are. Each tile is a few seconds' work for a large model; llama4_context_params.progress and llama4_context_cancel
 * work here too. The result can be used any number of times, with any context of the model.
 * @embeddings: (out) (transfer full): release with llama4_embeddings_release. */
LLAMA4_API llama4_status llama4_image_encode(llama4_context *context, const llama4_image *image, llama4_embeddings **embeddings, llama4_error *error);

/** llama4_embeddings_create: (since 1.1): embeddings that the program has from elsewhere, copied.
 * @model: gives its allocator, and is held until the embeddings are released.
 * @numbers: (array length=n): float32, tile after tile, row after row of the grid; if there are several, those of the whole
 * picture behind them. All tiles have the same number of rows, each llama4_model_info.embedding_length wide.
 * @columns: of the grid.
 * @rows: of the grid; @columns * @rows is 1 .. 64.
 * @embeddings: (out) (transfer full): release with llama4_embeddings_release. */
LLAMA4_API llama4_status llama4_embeddings_create(llama4_model *model, const float *numbers, size_t n, int32_t columns,
                                                  int32_t rows, llama4_embeddings **embeddings, llama4_error *error);

/** llama4_embeddings_ref: (since 1.1): one more owner. Returns: (transfer full): @embeddings. */
LLAMA4_API llama4_embeddings *llama4_embeddings_ref(llama4_embeddings *embeddings);

/** llama4_embeddings_release: (since 1.1): one owner less. @embeddings: (nullable) (transfer full). */
LLAMA4_API void llama4_embeddings_release(llama4_embeddings *embeddings);

/** llama4_embeddings_get_info: (since 1.1): as for a picture; width and height are 0.
 * @info: (out): struct_size set by the caller. */
LLAMA4_API llama4_status llama4_embeddings_get_info(const llama4_embeddings *embeddings, llama4_image_info *info, llama4_error *error);

/** llama4_embeddings_data: (since 1.1): the numbers, in the order of llama4_embeddings_create.
 * @numbers: (out) (transfer none) (array length=count): float32, valid as long as @embeddings.
 * @count: (out): numbers. */
LLAMA4_API llama4_status llama4_embeddings_data(const llama4_embeddings *embeddings, const float **numbers, size_t *count, llama4_error *error);

/* ---- Samplers: logits to the next token --------------------------------------------------------------------------- */

/** llama4_sampler: a chain of steps, applied in the order in which they were added. An empty chain, or one that ends
 * greedy, takes the most likely token (the lowest id among equals); any other draws from what the steps left. The same
 * seed, steps and logits give the same tokens on every machine. */
typedef struct llama4_sampler llama4_sampler;

/** llama4_sampler_create: an empty chain.
 * @model: gives its allocator, and is held until the sampler is released.
 * @sampler: (out) (transfer full). */
LLAMA4_API llama4_status llama4_sampler_create(llama4_model *model, uint64_t seed, llama4_sampler **sampler, llama4_error *error);

/** llama4_sampler_release: the end of a sampler. @sampler: (nullable) (transfer full). */
LLAMA4_API void llama4_sampler_release(llama4_sampler *sampler);

/** llama4_sampler_add_greedy: only the most likely token remains. */
LLAMA4_API llama4_status llama4_sampler_add_greedy(llama4_sampler *sampler, llama4_error *error);

/** llama4_sampler_add_temperature: logits are divided by @temperature, finite and at least 0; 0 is greedy. Meta's default is 0.6. */
LLAMA4_API llama4_status llama4_sampler_add_temperature(llama4_sampler *sampler, float temperature, llama4_error *error);

/** llama4_sampler_add_top_k: only the @k most likely tokens remain; k of 0 keeps all. */
LLAMA4_API llama4_status llama4_sampler_add_top_k(llama4_sampler *sampler, int32_t k, llama4_error *error);

/** llama4_sampler_add_top_p: tokens remain, most likely first, while the probability before them is at most @p (0 .. 1), as in
 * Meta's code. The most likely one always remains. Meta's default is 0.9. */
LLAMA4_API llama4_status llama4_sampler_add_top_p(llama4_sampler *sampler, float p, llama4_error *error);

/** llama4_sampler_add_min_p: tokens remain whose probability is at least @p (0 .. 1) times that of the most likely one. */
LLAMA4_API llama4_status llama4_sampler_add_min_p(llama4_sampler *sampler, float p, llama4_error *error);

/** llama4_sampler_reset: starts the random numbers again from @seed; the steps stay. */
LLAMA4_API llama4_status llama4_sampler_reset(llama4_sampler *sampler, uint64_t seed, llama4_error *error);

/** llama4_sampler_sample: draws a token.
 * @logits: (array length=n): not changed. NaN counts as impossible; if nothing is possible: LLAMA4_ERR_ARGUMENT.
 * @token: (out): 0 .. n - 1. */
LLAMA4_API llama4_status llama4_sampler_sample(llama4_sampler *sampler, const float *logits, size_t n, int32_t *token, llama4_error *error);

/* ---- Generating text ----------------------------------------------------------------------------------------------- */

/** llama4_text_fn: receives each new token and the text that it completed (valid UTF-8, not NUL-terminated, often empty).
 * Return non-zero to stop after this token. A last call with token -1 may follow, with text that was still waiting.
 * @text: (array length=length). */
typedef int32_t (*llama4_text_fn)(void *user, int32_t token, const char *text, size_t length);

/** LLAMA4_GENERATE_: (flags): of llama4_generate_params. */
#define LLAMA4_GENERATE_IGNORE_STOP 1u   /* go on past stop tokens */
#define LLAMA4_GENERATE_SPECIAL_TEXT 2u  /* write the names of special tokens into the text */

/** llama4_generate_params: how to choose tokens, and when to stop. */
typedef struct llama4_generate_params {
    uint32_t struct_size;     /* sizeof(llama4_generate_params) */
    uint32_t flags;           /* LLAMA4_GENERATE_ values, or 0 */
    int64_t max_tokens;       /* 0: until a stop token comes or the context is full */
    llama4_sampler *sampler;  /* (nullable) NULL: greedy */
    const float *embeddings;  /* (since 1.1) (nullable) (array length=n_embeddings) of the prompt, as for
                                 llama4_context_decode_embeddings */
    uint64_t n_embeddings;    /* (since 1.1) numbers */
} llama4_generate_params;

/** LLAMA4_STOPPED_: (values): why a generation ended. */
#define LLAMA4_STOPPED_TOKEN 1    /* a stop token came */
#define LLAMA4_STOPPED_LIMIT 2    /* max_tokens were generated */
#define LLAMA4_STOPPED_CALLBACK 3 /* the callback asked for it */
#define LLAMA4_STOPPED_CONTEXT 4  /* the context is full */

/** llama4_generate_result: how a generation ended. The caller sets struct_size. */
typedef struct llama4_generate_result {
    uint32_t struct_size;     /* sizeof(llama4_generate_result) */
    int32_t stopped;          /* LLAMA4_STOPPED_ value */
    int64_t prompt_tokens;    /* computed before the first new token */
    int64_t generated_tokens; /* the stop token included */
    double prompt_seconds;    /* wall time until the first new token */
    double generate_seconds;  /* wall time of the rest */
    int32_t last_token;       /* the last id that was generated; it is not yet part of the sequence. -1: none */
    int32_t reserved;         /* 0 */
} llama4_generate_result;

/** llama4_context_generate: appends a prompt to a sequence, then samples tokens and appends them, one by one. The last token
 * is reported but not appended, so that a conversation goes on by passing it first in the next prompt.
 * Works without a vocabulary: then the text is always empty and no token stops it.
 * After a failure or cancellation, too, the sequence holds the prompt and all reported tokens but the last; if none was
 * reported, it is as it was before the call (a prompt that crossed the end of a chunk may stay).
 * @prompt: (array length=n_prompt): at least one id.
 * @params: (nullable). @on_text: (nullable). @result: (out) (nullable): written on success only. */
LLAMA4_API llama4_status llama4_context_generate(llama4_context *context, int32_t sequence, const int32_t *prompt,
                                                 size_t n_prompt, const llama4_generate_params *params,
                                                 llama4_text_fn on_text, void *user, llama4_generate_result *result,
                                                 llama4_error *error);

/** llama4_context_chat: llama4_chat_tokenize of a whole conversation, then llama4_context_generate, on a sequence that is
 * emptied first. Images among the messages are encoded before that; progress counts both.
 * @messages: (array length=n_messages stride=stride): @stride is sizeof(llama4_message) of the caller's header.
 * @params: (nullable). @on_text: (nullable). @result: (out) (nullable): written on success only. */
LLAMA4_API llama4_status llama4_context_chat(llama4_context *context, int32_t sequence, const llama4_message *messages,
                                             size_t n_messages, size_t stride, const llama4_generate_params *params,
                                             llama4_text_fn on_text, void *user, llama4_generate_result *result,
                                             llama4_error *error);

/* ---- Converting files ------------------------------------------------------------------------------------------------ */

/** llama4_convert_params: what to write, and with which hooks. */
typedef struct llama4_convert_params {
    uint32_t struct_size;         /* sizeof(llama4_convert_params) */
    uint32_t flags;               /* LLAMA4_CONVERT_ bits (0 in 1.0) */
    const char *type;             /* (nullable) of matrices: "f32", "f16", "bf16", "q8_0", "q4_0", and since 1.1 "q4_1", "q5_0",
                                     "q5_1", "q2_k" to "q6_k", "iq4_nl", "iq4_xs", "mxfp4", or a mix that gives some matrices
                                     more bits: "q2_k_m", "q3_k_s", "q3_k_m", "q3_k_l", "q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m".
                                     NULL: as they are. Norms and routers are always float32. Rows that no block of the type
                                     divides get blocks of 32, or else float16 */
    llama4_allocate_fn allocate;  /* (nullable) both or neither */
    llama4_release_fn release;    /* (nullable) */
    void *allocator_user;
    llama4_log_fn log;            /* (nullable) */
    void *log_user;
    llama4_progress_fn progress;  /* (nullable) */
    void *progress_user;
    const char *vocabulary_path;  /* (nullable) as in llama4_model_params */
    const char *imatrix_path;     /* (since 1.1) (nullable) an importance matrix, as llama.cpp's llama-imatrix writes it in either of
                                     its forms: errors in columns that meet large numbers count more. Needs a quantised type */
} llama4_convert_params;

/** LLAMA4_CONVERT_: (flags): bits for the flags of llama4_convert_params (since 1.1). */
#define LLAMA4_CONVERT_SEARCH 1u /* search for the scales that lose least also where a type has a plain rule, q4_0 */
#define LLAMA4_CONVERT_VISION 2u /* write the picture encoder, as an "mmproj" file, in place of the text part */

/** llama4_convert_params_init: fills the defaults: every tensor keeps its type. @params: (out). */
LLAMA4_API llama4_status llama4_convert_params_init(llama4_convert_params *params, size_t size);

/** llama4_convert: writes the text part of a model (anything that llama4_model_open accepts) as one GGUF v3 file. A file
 * that is there already is replaced only when the new one is complete; on failure nothing is left behind.
 * @params: (nullable). */
LLAMA4_API llama4_status llama4_convert(const char *in_path, const char *out_path, const llama4_convert_params *params, llama4_error *error);

#ifdef __cplusplus
}
#endif

#endif /* LLAMA4_LLAMA4_H */
