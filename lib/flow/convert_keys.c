/* The keys of a converted file: a model's configuration and vocabulary in, GGUF keys out. Names are those of the usual converter, and ours for
 * what GGUF has no names for (always written, so that no reader must guess). */
#include <stdio.h>
#include <string.h>

#include "flow/convert_write.h"

static llama4_status put_text(l4_gguf_builder *b, const char *key, const char *text, llama4_error *error)
{
    return l4_gguf_put_string(b, key, text, strlen(text), error);
}

/* ---- General ---- */

int l4_convert_file_type(uint32_t type)
{
    switch (type) {
    case LLAMA4_TYPE_F32:
        return 0;
    case LLAMA4_TYPE_F16:
        return 1;
    case LLAMA4_TYPE_Q4_0:
        return 2;
    case LLAMA4_TYPE_Q8_0:
        return 7;
    case LLAMA4_TYPE_BF16:
        return 32;
    case 3: /* Q4_1 */
        return 3;
    case 6: /* Q5_0, Q5_1 */
        return 8;
    case 7:
        return 9;
    case 10: /* Q2_K, Q3_K, Q4_K, Q5_K, Q6_K: as the mixes with the fewest bits */
        return 10;
    case 11:
        return 11;
    case 12:
        return 14;
    case 13:
        return 16;
    case 14:
        return 18;
    case 20: /* IQ4_NL, IQ4_XS */
        return 25;
    case 23:
        return 30;
    case 39: /* MXFP4 */
        return 38;
    default:
        return -1;
    }
}

/* 11.1e9 weights -> "11B", 1.5e9 -> "1.5B": two digits at least. */
static void put_count(char *out, size_t size, uint64_t n)
{
    static const char suffix[] = "KMBT";
    uint64_t unit = 1000;
    int k = 0;
    for (; k < 3 && n > unit * 1000; k++)
        unit *= 1000;
    uint64_t whole = n / unit + (n % unit >= unit / 2), tenths = n / (unit / 10) + (n % (unit / 10) >= unit / 20);
    if (whole >= 10)
        snprintf(out, size, "%llu%c", (unsigned long long)whole, suffix[k]);
    else
        snprintf(out, size, "%llu.%llu%c", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10), suffix[k]);
}

static llama4_status put_general(const llama4_model *m, const l4_convert_summary *s, l4_gguf_builder *b, llama4_error *error)
{
    char count[32], label[48];
    put_count(count, sizeof count, s->shared + s->experts);
    if (m->config.experts)
        snprintf(label, sizeof label, "%ux%s", (unsigned)m->config.experts, count);
    else
        snprintf(label, sizeof label, "%s", count);
    llama4_status status = put_text(b, "general.architecture", "llama4", error);
    if (status == LLAMA4_OK)
        status = put_text(b, "general.type", "model", error);
    if (status == LLAMA4_OK && m->config.name[0])
        status = put_text(b, "general.name", m->config.name, error);
    if (status == LLAMA4_OK)
        status = put_text(b, "general.size_label", label, error);
    if (status == LLAMA4_OK && l4_convert_file_type(s->type) >= 0)
        status = l4_gguf_put_u32(b, "general.file_type", (uint32_t)l4_convert_file_type(s->type), error);
    return status ? status : l4_gguf_put_u32(b, "general.quantization_version", 2, error);
}

/* ---- Configuration ---- */

static llama4_status put_shape(const l4_config *c, uint32_t vocab, l4_gguf_builder *b, llama4_error *error)
{
    const struct {
        const char *key;
        uint64_t value;
        int written;
    } keys[] = {
        {"llama4.block_count", c->layers, 1},
        {"llama4.context_length", c->context_length, 1},
        {"llama4.embedding_length", c->width, 1},
        {"llama4.feed_forward_length", c->dense_ff ? c->dense_ff : c->expert_ff, 1}, /* other readers insist on it */
        {"llama4.attention.head_count", c->heads, 1},
        {"llama4.attention.head_count_kv", c->kv_heads, 1},
        {"llama4.attention.key_length", c->head_dim, 1},
        {"llama4.attention.value_length", c->head_dim, 1},
        {"llama4.rope.dimension_count", c->head_dim, 1},
        {"llama4.vocab_size", vocab, 1},
        {"llama4.expert_count", c->experts, c->experts != 0},
        {"llama4.expert_used_count", c->experts_used, c->experts != 0},
        {"llama4.expert_feed_forward_length", c->expert_ff, c->experts != 0},
        {"llama4.interleave_moe_layer_step", c->moe_step, c->experts != 0},
        {"llama4.attention.sliding_window", 0, c->chunk == 0}, /* for other readers: full attention */
        {"llama4.attention.chunk_size", c->chunk, 1},
        {"llama4.attention.nope_interval", c->nope_interval, 1},
        {"llama4.attention.temperature_length", c->temperature_length, 1},
    };
    llama4_status status = LLAMA4_OK;
    for (size_t i = 0; status == LLAMA4_OK && i < sizeof keys / sizeof *keys; i++)
        if (keys[i].written)
            status = l4_gguf_put_u32(b, keys[i].key, keys[i].value < UINT32_MAX ? (uint32_t)keys[i].value : UINT32_MAX, error);
    return status;
}

/* One byte per layer, for models whose pattern no interval describes. */
static llama4_status put_pattern(const l4_config *c, const char *key, size_t offset, l4_gguf_builder *b, llama4_error *error)
{
    llama4_status status = l4_gguf_put_array(b, key, L4_GGUF_BOOL, c->layers, error);
    for (uint32_t i = 0; status == LLAMA4_OK && i < c->layers; i++)
        status = l4_gguf_append_u8(b, ((const uint8_t *)&c->layer[i])[offset] != 0, error);
    return status;
}

static llama4_status put_config(const l4_config *c, uint32_t vocab, l4_gguf_builder *b, llama4_error *error)
{
    llama4_status status = put_shape(c, vocab, b, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_put_f32(b, "llama4.rope.freq_base", c->rope_base, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_put_f32(b, "llama4.attention.layer_norm_rms_epsilon", c->norm_epsilon, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_put_f32(b, "llama4.attention.temperature_scale", c->temperature_scale, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_put_bool(b, "llama4.attention.qk_norm", c->qk_norm, error);
    if (status == LLAMA4_OK && !c->nope_regular)
        status = put_pattern(c, "llama4.attention.rope_layers", offsetof(l4_layer_config, rope), b, error);
    if (status == LLAMA4_OK && !c->moe_regular)
        status = put_pattern(c, "llama4.moe_layers", offsetof(l4_layer_config, moe), b, error);
    return status;
}

/* ---- Vocabulary ---- */

/* GPT-2's alphabet: a printable code point for every byte. */
typedef struct alphabet {
    uint16_t letter[256];
    const l4_allocator *allocator;
    char *text; /* scratch */
    size_t length, capacity;
} alphabet;

static void alphabet_init(alphabet *t, const l4_allocator *a)
{
    uint16_t next = 256;
    memset(t, 0, sizeof *t);
    t->allocator = a;
    for (unsigned i = 0; i < 256; i++) /* printable in Latin-1, soft hyphen apart: itself */
        t->letter[i] = (i > 0x20 && i < 0x7f) || (i > 0xa0 && i != 0xad) ? (uint16_t)i : next++;
}

/* Appends n bytes, written in the alphabet, to the scratch. */
static llama4_status spell(alphabet *t, const uint8_t *bytes, size_t n, llama4_error *error)
{
    llama4_status status = l4_grow(t->allocator, &t->text, &t->capacity, t->length, t->length + 2 * n + 1, 1, "the text of a token", error);
    for (size_t i = 0; status == LLAMA4_OK && i < n; i++) {
        unsigned c = t->letter[bytes[i]];
        if (c < 0x80)
            t->text[t->length++] = (char)c;
        else {
            t->text[t->length++] = (char)(0xc0 | c >> 6);
            t->text[t->length++] = (char)(0x80 | (c & 0x3f));
        }
    }
    return status;
}

static llama4_status put_token(alphabet *t, const llama4_vocab *v, int32_t id, l4_gguf_builder *b, llama4_error *error)
{
    size_t n;
    const uint8_t *bytes = l4_vocab_bytes(v, id, &n);
    uint32_t flags = l4_vocab_flags(v, id);
    if (flags & LLAMA4_TOKEN_UNUSED && n == 0) {
        char hole[24];
        snprintf(hole, sizeof hole, "[PAD%d]", (int)id);
        return l4_gguf_append_string(b, hole, strlen(hole), error);
    }
    if (flags & (LLAMA4_TOKEN_SPECIAL | LLAMA4_TOKEN_UNUSED)) /* names stand as they are */
        return l4_gguf_append_string(b, (const char *)bytes, n, error);
    t->length = 0;
    llama4_status status = spell(t, bytes, n, error);
    return status ? status : l4_gguf_append_string(b, t->text, t->length, error);
}

static llama4_status put_tokens(alphabet *t, const llama4_vocab *v, l4_gguf_builder *b, llama4_error *error)
{
    int32_t size = l4_vocab_size(v);
    llama4_status status = l4_gguf_put_array(b, "tokenizer.ggml.tokens", L4_GGUF_STRING, (uint64_t)size, error);
    for (int32_t id = 0; status == LLAMA4_OK && id < size; id++)
        status = put_token(t, v, id, b, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_put_array(b, "tokenizer.ggml.token_type", L4_GGUF_I32, (uint64_t)size, error);
    for (int32_t id = 0; status == LLAMA4_OK && id < size; id++) {
        uint32_t flags = l4_vocab_flags(v, id);
        status = l4_gguf_append_i32(b, flags & LLAMA4_TOKEN_UNUSED ? 5 : flags & LLAMA4_TOKEN_SPECIAL ? 3 : 1, error);
    }
    return status;
}

static llama4_status put_merges(alphabet *t, const llama4_vocab *v, l4_gguf_builder *b, llama4_error *error)
{
    size_t n = l4_vocab_n_merges(v);
    if (n == 0)
        return LLAMA4_OK;
    llama4_status status = l4_gguf_put_array(b, "tokenizer.ggml.merges", L4_GGUF_STRING, n, error);
    for (size_t i = 0; status == LLAMA4_OK && i < n; i++) {
        int32_t pair[2];
        l4_vocab_merge(v, i, &pair[0], &pair[1]);
        t->length = 0;
        for (int k = 0; status == LLAMA4_OK && k < 2; k++) {
            size_t length;
            const uint8_t *bytes = l4_vocab_bytes(v, pair[k], &length);
            status = spell(t, bytes, length, error); /* leaves room for one byte */
            if (status == LLAMA4_OK && k == 0)
                t->text[t->length++] = ' ';
        }
        if (status == LLAMA4_OK)
            status = l4_gguf_append_string(b, t->text, t->length, error);
    }
    return status;
}

static llama4_status put_ids(const llama4_vocab *v, l4_gguf_builder *b, llama4_error *error)
{
    const l4_well_known *known = l4_vocab_well_known(v);
    int32_t eos = l4_vocab_eos(v);
    if (eos < 0)
        eos = known->eot >= 0 ? known->eot : known->end_of_text;
    const struct {
        const char *key;
        int32_t id;
    } ids[] = {
        {"tokenizer.ggml.bos_token_id", known->begin_of_text},
        {"tokenizer.ggml.eos_token_id", eos},
        {"tokenizer.ggml.padding_token_id", known->pad},
    };
    llama4_status status = LLAMA4_OK;
    for (size_t i = 0; status == LLAMA4_OK && i < sizeof ids / sizeof *ids; i++)
        if (ids[i].id >= 0)
            status = l4_gguf_put_u32(b, ids[i].key, (uint32_t)ids[i].id, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_put_bool(b, "tokenizer.ggml.add_bos_token", 1, error);
    return status ? status : l4_gguf_put_bool(b, "tokenizer.ggml.add_eos_token", 0, error);
}

static llama4_status put_vocabulary(const llama4_vocab *v, const l4_allocator *a, l4_gguf_builder *b, llama4_error *error)
{
    alphabet t;
    size_t length;
    alphabet_init(&t, a);
    llama4_status status = put_text(b, "tokenizer.ggml.model", "gpt2", error);
    if (status == LLAMA4_OK)
        status = put_text(b, "tokenizer.ggml.pre", "llama4", error);
    if (status == LLAMA4_OK)
        status = put_tokens(&t, v, b, error);
    if (status == LLAMA4_OK)
        status = put_merges(&t, v, b, error);
    if (status == LLAMA4_OK)
        status = put_ids(v, b, error);
    l4_free(a, t.text);
    const char *chat = l4_vocab_chat_template(v, &length);
    if (status == LLAMA4_OK && chat)
        status = l4_gguf_put_string(b, "tokenizer.chat_template", chat, length, error);
    return status;
}

llama4_status l4_convert_put_keys(const llama4_model *m, const l4_convert_summary *summary, l4_gguf_builder *b, llama4_error *error)
{
    llama4_status status = put_general(m, summary, b, error);
    if (status == LLAMA4_OK)
        status = put_config(&m->config, m->weights.embedding.rows, b, error);
    if (status == LLAMA4_OK && m->vocab)
        status = put_vocabulary(m->vocab, &m->allocator, b, error);
    return status;
}
