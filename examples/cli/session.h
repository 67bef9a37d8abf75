/* What run and chat share: their options, and the handles made from them. */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include <llama4/llama4.h>

#include "options.h"
#include "term.h"

typedef struct settings {
    double temperature, top_p, min_p;
    int64_t top_k, threads, context_length, max_tokens; /* max_tokens -1: not given */
    uint64_t seed;
    const char *vocabulary, *vision, *system, *experts, *kv;
    int64_t memory;
    int stats, stream;
    int32_t cpu_level, kv_type, batch_size, sequences; /* as in llama4.h; sequences 0: one */
} settings;

/* The LLAMA4_CPU_ or LLAMA4_KV_ value of a name into *value, which stays what it was if the name is NULL; 0, or the exit status
 * after a message. */
int parse_cpu(const command *c, const char *name, int32_t *value);
int parse_kv(const command *c, const char *name, int32_t *value);

/* Bytes of one head's key, or value, or 0 for an unknown LLAMA4_KV_ value. */
double kv_row_bytes(int32_t kv_type, int32_t head_length);

const char *cpu_name(int32_t level); /* as --cpu takes it */

/* clang-format off */
#define SETTINGS_DEFAULT {.temperature = 0.6, .top_p = 0.9, .max_tokens = -1}

#define MEMORY_OPTIONS(s)                                                                                  \
    {"kv", 0, OPTION_TEXT, &(s)->kv, "TYPE", "keep keys and values as i16 (default), q8_0, f16 or f32", 0, 0},  \
    {"memory", 0, OPTION_SIZE, &(s)->memory, "SIZE",                                                       \
     "stay within so much memory, such as 8G; experts that do not\nfit are read when needed (default: the machine's)", 0, 0}, \
    {"stream", 0, OPTION_FLAG, &(s)->stream, NULL, "read experts when needed even if all would fit", 0, 0}, \
    {"experts", 0, OPTION_TEXT, &(s)->experts, "FILE",                                                     \
     "remember in FILE which experts were in memory, and\nstart with those next time", 0, 0}

/* Lines of an option table. */
#define SETTINGS_OPTIONS(s)                                                                                \
    {"max-tokens", 'n', OPTION_INT, &(s)->max_tokens, "N",                                                 \
     "tokens of an answer at most; 0: until it ends", 0, 9e18},                                            \
    {"temp", 0, OPTION_REAL, &(s)->temperature, "T",                                                       \
     "temperature; 0 always takes the most likely token (default 0.6)", 0, 1000},                          \
    {"top-k", 0, OPTION_INT, &(s)->top_k, "K",                                                             \
     "draw from the K most likely tokens only (default 0: from all)", 0, 2147483647},                      \
    {"top-p", 0, OPTION_REAL, &(s)->top_p, "P",                                                            \
     "draw from the most likely tokens, until their probabilities\nreach P (default 0.9)", 0, 1},          \
    {"min-p", 0, OPTION_REAL, &(s)->min_p, "P",                                                            \
     "leave out tokens with less than P times the probability\nof the most likely one (default 0)", 0, 1}, \
    {"seed", 0, OPTION_SEED, &(s)->seed, "S",                                                              \
     "of the random numbers (default 0: the same answer each time)", 0, 0},                                \
    {"threads", 't', OPTION_INT, &(s)->threads, "N",                                                       \
     "default: one per processor", 0, 64},                                                                 \
    {"context", 'c', OPTION_INT, &(s)->context_length, "N",                                                \
     "positions at most (default: as the model was made for)", 0, 16777216},                               \
    {"system", 's', OPTION_TEXT, &(s)->system, "TEXT",                                                     \
     "a system message before the first question", 0, 0},                                                  \
    {"vocab", 0, OPTION_TEXT, &(s)->vocabulary, "FILE",                                                    \
     "take the vocabulary from this tokenizer.json,\ntokenizer.model or GGUF", 0, 0},                      \
    {"mmproj", 0, OPTION_TEXT, &(s)->vision, "FILE",                                                       \
     "the picture encoder: an mmproj GGUF file, or a Hugging\nFace directory (default: the model's own)", 0, 0}, \
    MEMORY_OPTIONS(s),                                                                                     \
    {"stats", 0, OPTION_FLAG, &(s)->stats, NULL,                                                           \
     "speed and memory, on standard error", 0, 0}

/* Lines of the tables of bench and perplexity, for what has .set, .batch and .cpu. */
#define ENGINE_OPTIONS(a)                                                                                  \
    {"threads", 't', OPTION_INT, &(a)->set.threads, "N", "default: one per processor", 0, 64},             \
    {"batch", 'b', OPTION_INT, &(a)->batch, "N", "tokens computed together (default 2048, or 4096\nwhen experts are streamed)", 1, 8192},       \
    {"cpu", 0, OPTION_TEXT, &(a)->cpu, "LEVEL",                                                            \
     "no instructions beyond these: generic, avx2, avx2-vnni,\navx512, avx512-vnni, avx512-vbmi, neon, neon-dotprod", 0, 0}, \
    MEMORY_OPTIONS(&(a)->set)
/* clang-format on */

typedef struct session {
    llama4_model *model;
    llama4_vocab *vocab; /* the model's; NULL: it has none */
    llama4_context *context;
    llama4_sampler *sampler; /* NULL: greedy */
    llama4_context_info info;
    double load_seconds;
    const char *experts; /* file to write when the session ends, or NULL */
    progress bar; /* of loading and of long prompts */
} session;

/* Opens the model and makes the rest. Returns 0, or the exit status after a message; close in any case. */
int session_open(session *s, const char *path, const settings *settings);
void session_close(session *s);

/* Token ids, allocated with malloc. */
typedef struct id_list {
    int32_t *ids;
    size_t count, capacity;
} id_list;

int ids_add(id_list *list, int32_t id); /* 1, or 0 after a message */
void ids_free(id_list *list);

/* Appends the ids of a text, or of messages with the header of the answer; 0, or the exit status after a message. */
int ids_add_text(id_list *list, const llama4_vocab *vocab, const char *text, size_t length, uint32_t flags);
int ids_add_chat(id_list *list, const llama4_vocab *vocab, const char *system, const char *user, size_t user_length,
                 uint32_t flags);

int ids_add_messages(id_list *list, const llama4_vocab *vocab, const llama4_message *messages, size_t n, uint32_t flags);

/* 1 if the vocabulary knows the chat format. */
int has_chat_format(const llama4_vocab *vocab);

/* Speed and memory on standard error. */
void print_stats(const session *s, const llama4_generate_result *result);

const char *stop_name(int32_t stopped);
double prompt_speed(const llama4_generate_result *result); /* tokens per second, or NaN */
double generate_speed(const llama4_generate_result *result);

#endif
