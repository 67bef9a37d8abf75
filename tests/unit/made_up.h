/* Made-up GGUF files for test_plan.c: headers of a small model, and holes in place of data. */
#ifndef LLAMA4_TESTS_MADE_UP_H
#define LLAMA4_TESTS_MADE_UP_H

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static char folder[64];

static const char *in_folder(const char *name)
{
    static char paths[4][160];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void make_folder(void)
{
    strcpy(folder, "/tmp/l4-plan-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
}

static void remove_folder(const char *const *names)
{
    for (; *names; names++)
        unlink(in_folder(*names));
    CHECK_EQ(rmdir(folder), 0);
}

enum { WIDTH = 512, HEADS = 4, KV = 2, HEAD = 128, FF = 768, EXPERTS = 4, LAYERS = 4, VOCAB = 1000, F32 = 0, Q4_0 = 2, Q6_K = 14 };

typedef struct tensor {
    char name[48];
    uint32_t type, n_dims;
    uint64_t dims[3];
} tensor;

static uint64_t bytes_of(const tensor *t)
{
    uint64_t n = t->dims[0] * t->dims[1] * t->dims[2];
    return t->type == F32 ? 4 * n : t->type == Q4_0 ? n / 32 * 18 : n / 256 * 210;
}

static tensor model[64];
static size_t n_model;

static void put(uint32_t type, uint64_t d0, uint64_t d1, uint64_t d2, const char *format, int layer)
{
    tensor *t = &model[n_model++];
    snprintf(t->name, sizeof t->name, format, layer);
    t->type = type;
    t->n_dims = d2 > 1 ? 3 : d1 > 1 ? 2 : 1;
    t->dims[0] = d0;
    t->dims[1] = d1;
    t->dims[2] = d2;
}

/* Odd layers are mixtures. `down`: type of second matrices. */
static void make_model(uint32_t down)
{
    n_model = 0;
    put(Q4_0, WIDTH, VOCAB, 1, "token_embd.weight", 0);
    for (int i = 0; i < LAYERS; i++) {
        put(F32, WIDTH, 1, 1, "blk.%d.attn_norm.weight", i);
        put(Q4_0, WIDTH, HEADS * HEAD, 1, "blk.%d.attn_q.weight", i);
        put(Q4_0, WIDTH, KV * HEAD, 1, "blk.%d.attn_k.weight", i);
        put(Q4_0, WIDTH, KV * HEAD, 1, "blk.%d.attn_v.weight", i);
        put(Q4_0, HEADS * HEAD, WIDTH, 1, "blk.%d.attn_output.weight", i);
        put(F32, WIDTH, 1, 1, "blk.%d.ffn_norm.weight", i);
        if (i % 2 == 0) {
            put(Q4_0, WIDTH, 2 * FF, 1, "blk.%d.ffn_gate.weight", i);
            put(Q4_0, WIDTH, 2 * FF, 1, "blk.%d.ffn_up.weight", i);
            put(down, 2 * FF, WIDTH, 1, "blk.%d.ffn_down.weight", i);
            continue;
        }
        put(F32, WIDTH, EXPERTS, 1, "blk.%d.ffn_gate_inp.weight", i);
        put(Q4_0, WIDTH, FF, EXPERTS, "blk.%d.ffn_gate_exps.weight", i);
        put(Q4_0, WIDTH, FF, EXPERTS, "blk.%d.ffn_up_exps.weight", i);
        put(down, FF, WIDTH, EXPERTS, "blk.%d.ffn_down_exps.weight", i);
        put(Q4_0, WIDTH, FF, 1, "blk.%d.ffn_gate_shexp.weight", i);
        put(Q4_0, WIDTH, FF, 1, "blk.%d.ffn_up_shexp.weight", i);
        put(down, FF, WIDTH, 1, "blk.%d.ffn_down_shexp.weight", i);
    }
    put(F32, WIDTH, 1, 1, "output_norm.weight", 0);
    put(Q6_K, WIDTH, VOCAB, 1, "output.weight", 0);
}

static void text(FILE *f, const char *s)
{
    uint64_t n = strlen(s);
    fwrite(&n, 8, 1, f);
    fwrite(s, 1, n, f);
}

static void number(FILE *f, const char *key, uint32_t value)
{
    uint32_t type = 4;
    text(f, key);
    fwrite(&type, 4, 1, f);
    fwrite(&value, 4, 1, f);
}

typedef struct part {
    const char *name;
    size_t first, end;      /* tensors of the model */
    uint32_t number, count; /* of parts; count 0: one file */
    int whole;              /* data, too */
    int32_t file_type;      /* -1: none */
    int largest;            /* every number as large as it may be */
} part;

static void write_part(const part *p)
{
    const uint32_t version = 3, string = 8;
    const uint64_t n_tensors = p->end - p->first, n_keys = 12 + (p->count ? 3 : 0) + (p->file_type >= 0);
    FILE *f = fopen(in_folder(p->name), "wb");
    uint64_t at = 0;
    if (!CHECK(f != NULL))
        return;
    fwrite("GGUF", 1, 4, f);
    fwrite(&version, 4, 1, f);
    fwrite(&n_tensors, 8, 1, f);
    fwrite(&n_keys, 8, 1, f);
    text(f, "general.architecture");
    fwrite(&string, 4, 1, f);
    text(f, "llama4");
    number(f, "llama4.block_count", p->largest ? 1024 : LAYERS);
    number(f, "llama4.embedding_length", p->largest ? 1 << 18 : WIDTH);
    number(f, "llama4.attention.head_count", HEADS);
    number(f, "llama4.attention.head_count_kv", KV);
    number(f, "llama4.attention.key_length", HEAD);
    number(f, "llama4.feed_forward_length", 2 * FF);
    number(f, "llama4.expert_feed_forward_length", p->largest ? 1 << 20 : FF);
    number(f, "llama4.expert_count", p->largest ? 4096 : EXPERTS);
    number(f, "llama4.interleave_moe_layer_step", p->largest ? 1 : 2);
    number(f, "llama4.context_length", 100000);
    number(f, "llama4.vocab_size", VOCAB);
    if (p->file_type >= 0)
        number(f, "general.file_type", (uint32_t)p->file_type);
    if (p->count) {
        number(f, "split.no", p->number);
        number(f, "split.count", p->count);
        number(f, "split.tensors.count", (uint32_t)n_model);
    }
    for (size_t i = p->first; i < p->end; i++) {
        text(f, model[i].name);
        fwrite(&model[i].n_dims, 4, 1, f);
        fwrite(model[i].dims, 8, model[i].n_dims, f);
        fwrite(&model[i].type, 4, 1, f);
        fwrite(&at, 8, 1, f);
        at += (bytes_of(&model[i]) + 31) / 32 * 32;
    }
    long head = ftell(f);
    fclose(f);
    if (p->whole)
        CHECK_EQ(truncate(in_folder(p->name), (off_t)((uint64_t)head + 31 + at)), 0);
}

static uint64_t stored(size_t first, size_t end)
{
    uint64_t sum = 0;
    for (size_t i = first; i < end; i++)
        sum += bytes_of(&model[i]);
    return sum;
}

#endif
