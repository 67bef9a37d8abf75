/* Plans: sums that are done again here, tensor by tensor; sizes against those of a model that runs; files that are absent, cut off or wrong. Made-up
 * files have headers and, where they are whole, holes for data. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "made_up.h"
#include "support.h"

static llama4_error error;

static llama4_plan_result plan_ok(const char *path, const llama4_plan_params *params)
{
    llama4_plan_result r = {.struct_size = sizeof r};
    error = (llama4_error)LLAMA4_ERROR_INIT;
    CHECK_STATUS(llama4_plan(path, params, &r, &error), LLAMA4_OK, error);
    return r;
}

static llama4_plan_params defaults(void)
{
    llama4_plan_params p;
    llama4_plan_params_init(&p, sizeof p);
    return p;
}

/* ---- Against models that run ---- */

TEST(sizes_of_a_model_that_runs)
{
    counting c = {0};
    llama4_model_params mp = counting_params(&c);
    llama4_plan_params p = defaults();
    p.batch_size = 64;
    p.threads = 2;
    llama4_plan_result r = plan_ok(TINY, &p);
    llama4_model *m = open_model(TINY, &mp);
    REQUIRE(m != NULL);
    llama4_model_info info = model_info(m);
    uint64_t weights = 0;
    for (int32_t i = 0; i < info.tensors; i++) {
        llama4_tensor_info t = {.struct_size = sizeof t};
        CHECK_STATUS0(llama4_model_get_tensor(m, i, &t, NULL), LLAMA4_OK);
        weights += strcmp(t.name, "rope_freqs.weight") ? (uint64_t)t.bytes : 0;
    }
    CHECK_EQ(r.fits, LLAMA4_FITS_WHOLE);
    CHECK_EQ(r.weight_bytes, weights);
    CHECK_EQ(r.parameters, info.parameters);
    CHECK_EQ(r.active_parameters, info.active_parameters);
    CHECK_EQ(r.experts, info.moe_layers * info.experts);
    CHECK_EQ(r.estimated_bytes + r.missing_files + r.guessed_shape, 0);
    CHECK_STR(r.type, info.type);
    CHECK_STR(r.name, info.name);
    CHECK(c.live_bytes > (size_t)(r.resident_bytes + r.pool_bytes) * 9 / 10 && c.live_bytes < (size_t)(r.whole_bytes - r.kv_bytes));
    llama4_context_params cp = {.struct_size = sizeof cp, .threads = 2, .batch_size = 64};
    llama4_context *context;
    REQUIRE_STATUS(llama4_context_create(m, &cp, &context, &error), LLAMA4_OK, error);
    int32_t ids[64];
    make_ids(ids, 64, 1, 2000);
    CHECK_STATUS(decode_ids(context, 0, ids, 64, 0, NULL, 0, &error), LLAMA4_OK, error);
    llama4_context_info used = {.struct_size = sizeof used};
    CHECK_STATUS0(llama4_context_get_info(context, &used, NULL), LLAMA4_OK);
    const int64_t rest = r.scratch_bytes - used.scratch_bytes; /* vocabulary and tables */
    if (!CHECK(rest > 8000000 && rest < 9000000))
        printf("  %lld in use, %lld planned\n", (long long)used.scratch_bytes, (long long)r.scratch_bytes);
    llama4_context_release(context);
    llama4_model_release(m);
}

/* Chunks of 16 positions, pages of 64; both types. */
TEST(keys_and_values_of_a_model_that_runs)
{
    static const int64_t lengths[] = {1, 5, 16, 17, 63, 64, 65, 129, 300};
    llama4_model *m = open_model(SCOUT, NULL);
    REQUIRE(m != NULL);
    for (int32_t kv = LLAMA4_KV_DEFAULT; kv <= LLAMA4_KV_Q8_0; kv++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            int32_t ids[300];
            llama4_context *c = open_context(m, 1, kv);
            REQUIRE(c != NULL);
            make_ids(ids, 300, 1, 100);
            CHECK_STATUS(decode_ids(c, 0, ids, (size_t)lengths[i], 0, NULL, 0, &error), LLAMA4_OK, error);
            llama4_context_info used = {.struct_size = sizeof used};
            CHECK_STATUS0(llama4_context_get_info(c, &used, NULL), LLAMA4_OK);
            llama4_plan_params p = defaults();
            p.context_length = lengths[i];
            p.kv_type = kv;
            llama4_plan_result r = plan_ok(SCOUT, &p);
            CHECK_EQ(r.kv_bytes, used.kv_bytes);
            CHECK_EQ(r.context_length, lengths[i]);
            llama4_context_release(c);
        }
    llama4_model_release(m);
}

TEST(every_kind_of_file)
{
    static const char *const paths[] = {SCOUT, MAVERICK, DENSE, LONG, VISION, TINY};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        llama4_model *m = open_model(paths[i], NULL);
        REQUIRE(m != NULL);
        llama4_model_info info = model_info(m);
        llama4_plan_result r = plan_ok(paths[i], NULL);
        CHECK_EQ(r.parameters, info.parameters);
        CHECK_EQ(r.active_parameters, info.active_parameters);
        CHECK_EQ(r.experts, info.moe_layers * info.experts);
        CHECK(r.weight_bytes <= info.tensor_bytes && (info.vision_layers || r.weight_bytes > info.tensor_bytes - 10000));
        CHECK_EQ(r.whole_bytes - r.least_bytes > 0, r.experts > 2);
        llama4_model_release(m);
    }
}

/* What a plan says is enough is enough, and a model that it says fits is not streamed. */
TEST(budgets_of_models_that_run)
{
    static const char *const paths[] = {SCOUT, MAVERICK, LONG, TINY};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        for (int whole = 0; whole < 2; whole++) {
            llama4_plan_params p = defaults();
            p.context_length = 600;
            p.batch_size = 64;
            p.threads = 2;
            p.memory_bytes = plan_ok(paths[i], &p).least_bytes;
            llama4_plan_result r = plan_ok(paths[i], &p);
            CHECK_EQ(r.fits, LLAMA4_FITS_STREAMED);
            CHECK(r.cached_experts == 2 && r.pool_bytes == 2 * r.expert_bytes);
            llama4_model_params mp = {.struct_size = sizeof mp, .flags = whole ? 0 : LLAMA4_MODEL_STREAM};
            mp.memory_bytes = whole ? r.whole_bytes : r.least_bytes;
            llama4_context_params cp = {.struct_size = sizeof cp, .threads = 2, .batch_size = 64, .context_length = 600};
            llama4_memory_info info = {.struct_size = sizeof info};
            llama4_model *m = open_model(paths[i], &mp);
            llama4_context *c;
            int32_t ids[600];
            REQUIRE(m != NULL);
            REQUIRE_STATUS(llama4_context_create(m, &cp, &c, &error), LLAMA4_OK, error);
            make_ids(ids, 600, 1, 60);
            CHECK_STATUS(decode_ids(c, 0, ids, 600, 64, NULL, 0, &error), LLAMA4_OK, error);
            CHECK_STATUS(llama4_model_get_memory(m, &info, &error), LLAMA4_OK, error);
            CHECK_EQ(info.streaming, !whole);
            CHECK_EQ(info.expert_bytes, whole ? 0 : r.expert_bytes);
            CHECK_EQ(info.expert_count, whole ? 0 : r.experts);
            CHECK(whole || info.expert_slots >= 2);
            CHECK(info.used_bytes <= info.limit_bytes);
            llama4_context_release(c);
            llama4_model_release(m);
        }
}

/* ---- Sums ---- */

/* Rows in memory come in sixteens where a type is packed: VOCAB is no multiple. */
static uint64_t memory_of(const tensor *t)
{
    uint64_t rows = t->type == F32 ? t->dims[1] : (t->dims[1] + 15) / 16 * 16;
    return bytes_of(t) / t->dims[1] * rows;
}

TEST(sums)
{
    static const char *const names[] = {"m.gguf", NULL};
    uint64_t resident = 0, routed = 0, shared = 0;
    make_folder();
    make_model(Q6_K);
    write_part(&(part){names[0], 0, n_model, 0, 0, 1, -1, 0});
    for (size_t i = 1; i < n_model; i++) {
        *(strstr(model[i].name, "_exps") ? &routed : &resident) += memory_of(&model[i]);
        shared += strstr(model[i].name, "_shexp") ? memory_of(&model[i]) : 0;
    }
    llama4_plan_params p = defaults();
    p.memory_bytes = (int64_t)1 << 40;
    p.memory_rate = 1e9;
    p.compute_rate = 2e9;
    p.batch_size = 100;
    llama4_plan_result r = plan_ok(in_folder(names[0]), &p);
    const uint64_t expert = routed / (EXPERTS * LAYERS / 2), token = resident + routed / EXPERTS;
    CHECK_EQ(r.weight_bytes, stored(0, n_model));
    CHECK_EQ(r.resident_bytes, resident);
    CHECK_EQ(r.pool_bytes, routed);
    CHECK_EQ(r.expert_bytes, expert);
    CHECK_EQ(r.experts, EXPERTS * LAYERS / 2);
    CHECK_EQ(r.missing_files, 0);
    CHECK_EQ(r.whole_bytes, r.resident_bytes + r.pool_bytes + r.kv_bytes + r.scratch_bytes + (int64_t)bytes_of(&model[0]));
    CHECK_EQ(r.least_bytes, r.resident_bytes + r.kv_bytes + r.scratch_bytes + 2 * (int64_t)expert);
    CHECK(fabs(r.decode_rate * (double)token / 1e9 - 1) < 1e-9);
    CHECK(r.full_decode_rate < r.decode_rate && r.full_decode_rate > 0);
    uint64_t products = 0; /* multiplications of a token; the output's once for all */
    for (size_t i = 1; i + 1 < n_model; i++)
        products += model[i].n_dims == 1 ? 0 : model[i].dims[0] * model[i].dims[1];
    CHECK(fabs(r.prefill_rate * 2 * ((double)products + WIDTH * VOCAB / 100.0) / 2e9 - 1) < 1e-9);

    /* Room for all but one. */
    p.memory_bytes = r.least_bytes + (r.experts - 3) * (int64_t)expert;
    llama4_plan_result s = plan_ok(in_folder(names[0]), &p);
    CHECK_EQ(s.fits, LLAMA4_FITS_STREAMED);
    CHECK(s.cached_experts == s.experts - 1 && s.decode_rate == 0 && s.prefill_rate == 0); /* the disk is not known */
    p.disk_rate = 1e6;
    s = plan_ok(in_folder(names[0]), &p);
    double missed = LAYERS / 2 * (double)expert / (double)s.experts, wait = missed / 1e6 - (double)shared / 1e9;
    CHECK(wait > 0 && fabs(s.decode_rate * ((double)token / 1e9 + wait) - 1) < 1e-9);
    double needed = 1 - pow(1 - 1.0 / EXPERTS, 100);
    CHECK(fabs(s.prefill_rate * (needed * (double)routed / 1e6) / 100 - 1) < 1e-6);
    p.memory_bytes = r.least_bytes;
    s = plan_ok(in_folder(names[0]), &p);
    CHECK(s.fits == LLAMA4_FITS_STREAMED && s.cached_experts == 2 && s.decode_rate > 0);
    p.memory_bytes--;
    s = plan_ok(in_folder(names[0]), &p);
    CHECK(s.fits == LLAMA4_FITS_NOT && s.cached_experts == 0 && s.pool_bytes == 0 && s.decode_rate == 0 && s.disk_rate == 1e6);
    remove_folder(names);
}

TEST(shapes)
{
    llama4_plan_params p = defaults();
    p.shape = "scout";
    p.memory_bytes = (int64_t)1 << 50;
    p.context_length = 1048576;
    llama4_plan_result r = plan_ok(NULL, &p);
    CHECK_EQ(r.parameters, 107769861120);
    CHECK_EQ(r.weight_bytes, 60635770880);
    CHECK_EQ(r.expert_bytes, 3 * 5120 * 8192 / 32 * 18);
    CHECK_EQ(r.experts, 768);
    CHECK(fabs((double)r.kv_bytes / (4160.0 * (12 * 1048576.0 + 36 * 8192)) - 1) < 1e-3);
    CHECK_EQ(r.guessed_shape, 0);
    CHECK_EQ(r.estimated_bytes, r.weight_bytes);
    CHECK_STR(r.type, "Q4_0");
    p.type = "Q8_0";
    CHECK(fabs((double)plan_ok(NULL, &p).weight_bytes / 114.5e9 - 1) < 1e-3);
    p.type = "q4_k_m";
    CHECK(fabs((double)plan_ok(NULL, &p).weight_bytes / 65.4e9 - 1) < 1e-3);
    p.shape = "Maverick";
    p.type = "bf16";
    r = plan_ok(NULL, &p);
    CHECK_EQ(r.parameters, 400711848960);
    CHECK_EQ(r.experts, 24 * 128);
    p.shape = "BEHEMOTH";
    r = plan_ok(NULL, &p);
    CHECK(fabs((double)r.parameters / 2e12 - 1) < 0.01 && fabs((double)r.active_parameters / 288e9 - 1) < 0.01);
    CHECK_EQ(r.experts % 16, 0);
    CHECK_EQ(r.guessed_shape, 1);
    CHECK_EQ(r.missing_files, 0);
}

/* ---- Files that are absent ---- */

static const char *const parts[] = {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf", NULL};

static void write_parts(size_t first_end, size_t second_end, int32_t file_type)
{
    write_part(&(part){parts[0], 0, first_end, 0, 3, 1, file_type, 0});
    write_part(&(part){parts[1], first_end, second_end, 1, 3, 1, -1, 0});
    write_part(&(part){parts[2], second_end, n_model, 2, 3, 1, -1, 0});
}

TEST(parts_that_are_absent)
{
    make_folder();
    make_model(Q4_0);
    model[n_model - 1].type = Q4_0; /* the output is like all others */
    write_parts(20, 40, -1);
    llama4_plan_result all = plan_ok(in_folder(parts[0]), NULL);
    CHECK_EQ(all.missing_files + all.estimated_bytes, 0);
    CHECK_EQ(all.weight_bytes, stored(0, n_model));
    unlink(in_folder(parts[1]));
    llama4_plan_result r = plan_ok(in_folder(parts[2]), NULL); /* any part leads to the first */
    CHECK_EQ(r.weight_bytes, all.weight_bytes);
    CHECK_EQ(r.estimated_bytes, stored(20, 40));
    CHECK_EQ(r.missing_files, 1);
    unlink(in_folder(parts[2]));
    r = plan_ok(in_folder(parts[0]), NULL);
    CHECK_EQ(r.estimated_bytes, stored(20, n_model));
    CHECK_EQ(r.missing_files, 2);
    CHECK_EQ(r.resident_bytes, all.resident_bytes);
    CHECK_EQ(r.whole_bytes, all.whole_bytes);
    CHECK_EQ(r.parameters, all.parameters);
    llama4_model *m = NULL;
    CHECK_STATUS0(llama4_model_open(in_folder(parts[0]), NULL, &m, NULL), LLAMA4_ERR_IO); /* running is another matter */
    remove_folder(parts);
}

/* The first part has no tensors at all: the type of the file says what there is, or the caller does. */
TEST(nothing_but_keys)
{
    make_folder();
    make_model(Q4_0);
    write_parts(0, 0, 2);
    unlink(in_folder(parts[2]));
    llama4_plan_result r = plan_ok(in_folder(parts[0]), NULL);
    CHECK_EQ(r.weight_bytes, stored(0, n_model)); /* with an output of six bits, as its quantiser has it */
    CHECK_EQ(r.estimated_bytes, r.weight_bytes);
    write_parts(0, 0, -1);
    unlink(in_folder(parts[2]));
    llama4_plan_result none = {.struct_size = sizeof none};
    CHECK_STATUS0(llama4_plan(in_folder(parts[0]), NULL, &none, &error), LLAMA4_ERR_ARGUMENT);
    CHECK(strstr(error.message, "type") != NULL);
    llama4_plan_params p = defaults();
    p.type = "q4_0";
    CHECK_EQ(plan_ok(in_folder(parts[0]), &p).weight_bytes, stored(0, n_model) - VOCAB * (WIDTH / 256 * 210 - WIDTH / 32 * 18));
    p.type = "f32";
    CHECK_EQ(plan_ok(in_folder(parts[0]), &p).weight_bytes, 4 * r.parameters);
    remove_folder(parts);
}

/* What is there counts more than what the type of the file promises. */
TEST(types_follow_their_neighbours)
{
    make_folder();
    make_model(Q6_K);
    size_t second = 1 + 9 + 13; /* behind the first mixture */
    write_parts(second, second, 2);
    unlink(in_folder(parts[2]));
    llama4_plan_result r = plan_ok(in_folder(parts[0]), NULL);
    CHECK_EQ(r.weight_bytes, stored(0, n_model));
    CHECK_EQ(r.estimated_bytes, stored(second, n_model));
    remove_folder(parts);
}

TEST(files_that_end_early)
{
    static const char *const names[] = {"m.gguf", NULL};
    make_folder();
    make_model(Q4_0);
    write_part(&(part){names[0], 0, n_model, 0, 0, 0, -1, 0});
    llama4_plan_result r = plan_ok(in_folder(names[0]), NULL);
    CHECK_EQ(r.weight_bytes, stored(0, n_model));
    CHECK_EQ(r.estimated_bytes, 0); /* the header is there */
    CHECK_EQ(r.missing_files, 1);
    size_t size;
    unsigned char *file = load_file(in_folder(names[0]), &size);
    REQUIRE(file != NULL);
    for (size_t n = 0; n < size; n += 1 + n / 16) { /* inside it nothing can be said */
        CHECK_EQ(save_file(in_folder(names[0]), file, n), 0);
        CHECK_STATUS0(llama4_plan(in_folder(names[0]), NULL, &r, NULL), LLAMA4_ERR_FORMAT);
    }
    free(file);
    remove_folder(names);
}

TEST(safetensors_that_are_absent)
{
    static const char *const names[] = {"config.json", "model.safetensors.index.json", "a.safetensors", "b.safetensors", NULL};
    static const char config[] = "{\"model_type\": \"llama4_text\", \"num_hidden_layers\": 4, \"hidden_size\": 64, \"num_attention_heads\": 4, "
                                 "\"num_key_value_heads\": 2, \"head_dim\": 32, \"intermediate_size\": 96, \"intermediate_size_mlp\": 128, "
                                 "\"num_local_experts\": 4, \"vocab_size\": 300, \"interleave_moe_layer_step\": 2, \"torch_dtype\": \"%s\"}";
    static const char index[] = "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {\"model.norm.weight\": \"a.safetensors\", "
                                "\"model.embed_tokens.weight\": \"b.safetensors\"}}";
    static const char header[] = "{\"model.norm.weight\": {\"dtype\": \"BF16\", \"shape\": [64], \"data_offsets\": [0, 128]}}       ";
    char filled[1024];
    make_folder();
    snprintf(filled, sizeof filled, config, "bfloat16");
    save_file(in_folder(names[0]), filled, strlen(filled));
    save_file(in_folder(names[1]), index, strlen(index));
    llama4_plan_result r = plan_ok(folder, NULL);
    CHECK_EQ(r.weight_bytes, 2 * r.parameters);
    CHECK_EQ(r.estimated_bytes, r.weight_bytes);
    CHECK_EQ(r.parameters, 2 * 300 * 64 + 64 + 4 * (64 * (4 * 32 * 2 + 2 * 32 * 2) + 2 * 64) + 2 * 3 * 64 * 128 + 2 * (5 * 3 * 64 * 96 + 4 * 64));
    CHECK_EQ(r.missing_files, 2);
    CHECK_STR(r.type, "BF16");
    uint64_t length = strlen(header);
    memcpy(filled, &length, 8);
    memcpy(filled + 8, header, length);
    memset(filled + 8 + length, 0, 128);
    save_file(in_folder(names[2]), filled, 8 + length + 128);
    r = plan_ok(folder, NULL);
    CHECK_EQ(r.missing_files, 1);
    CHECK_EQ(r.estimated_bytes, r.weight_bytes - 128);
    save_file(in_folder(names[2]), filled, 8 + length + 127); /* cut off */
    r = plan_ok(folder, NULL);
    CHECK_EQ(r.missing_files, 2);
    CHECK_EQ(r.estimated_bytes, r.weight_bytes - 128);
    snprintf(filled, sizeof filled, config, "float32");
    save_file(in_folder(names[0]), filled, strlen(filled));
    CHECK_EQ(plan_ok(folder, NULL).weight_bytes, 4 * r.parameters - 128);
    unlink(in_folder(names[1]));
    CHECK_STATUS0(llama4_plan(folder, NULL, &r, NULL), LLAMA4_ERR_IO);
    remove_folder(names);
}

/* ---- What is refused ---- */

#define REFUSES(want, word, path, ...)                                                        \
    do {                                                                                      \
        llama4_plan_params p = defaults();                                                    \
        llama4_plan_result r = {.struct_size = sizeof r, .missing_files = 77};                       \
        __VA_ARGS__;                                                                          \
        error = (llama4_error)LLAMA4_ERROR_INIT;                                              \
        CHECK_STATUS(llama4_plan((path), &p, &r, &error), (want), error);                     \
        if (!CHECK(strstr(error.message, (word)) != NULL))                                    \
            printf("  message: %s\n", error.message);                                         \
        CHECK_EQ(r.missing_files, 77);                                                        \
    } while (0)

TEST(arguments)
{
    REFUSES(LLAMA4_ERR_ARGUMENT, "NULL", NULL, (void)0);
    REFUSES(LLAMA4_ERR_ARGUMENT, "both", TINY, p.shape = "scout");
    REFUSES(LLAMA4_ERR_ARGUMENT, "empty", "", (void)0);
    REFUSES(LLAMA4_ERR_ARGUMENT, "gigantic", NULL, p.shape = "gigantic");
    REFUSES(LLAMA4_ERR_ARGUMENT, "\"\"", NULL, p.shape = "");
    REFUSES(LLAMA4_ERR_ARGUMENT, "q9_9", NULL, p.shape = "scout"; p.type = "q9_9");
    REFUSES(LLAMA4_ERR_UNSUPPORTED, "flags", TINY, p.flags = 0x80);
    REFUSES(LLAMA4_ERR_UNSUPPORTED, "reserved", TINY, p.reserved = 1);
    REFUSES(LLAMA4_ERR_ARGUMENT, "memory_bytes", TINY, p.memory_bytes = -1);
    REFUSES(LLAMA4_ERR_ARGUMENT, "context_length", TINY, p.context_length = -1);
    REFUSES(LLAMA4_ERR_ARGUMENT, "context_length", TINY, p.context_length = (1 << 24) + 1);
    REFUSES(LLAMA4_ERR_ARGUMENT, "batch_size", TINY, p.batch_size = 8193);
    REFUSES(LLAMA4_ERR_ARGUMENT, "threads", TINY, p.threads = -1);
    REFUSES(LLAMA4_ERR_ARGUMENT, "kv_type", TINY, p.kv_type = 1000);
    REFUSES(LLAMA4_ERR_ARGUMENT, "rate", TINY, p.disk_rate = NAN);
    REFUSES(LLAMA4_ERR_ARGUMENT, "rate", TINY, p.memory_rate = -1);
    REFUSES(LLAMA4_ERR_ARGUMENT, "rate", TINY, p.compute_rate = INFINITY);
    REFUSES(LLAMA4_ERR_IO, "nowhere", "/nowhere/model.gguf", (void)0);
    CHECK_STATUS0(llama4_plan(TINY, NULL, NULL, NULL), LLAMA4_ERR_ARGUMENT);
}

TEST(wrong_files)
{
    static const char *const names[] = {"m.gguf", "m-00001-of-00003.gguf", NULL};
    make_folder();
    make_model(Q4_0);
    for (size_t i = 0; i < n_model; i++) {
        tensor kept = model[i], last = model[n_model - 1];
        model[i].dims[0] += 256;
        write_part(&(part){names[0], 0, n_model, 0, 0, 1, -1, 0});
        REFUSES(LLAMA4_ERR_FORMAT, i == 0 ? "tensor" : kept.name, in_folder(names[0]), (void)0);
        model[i] = kept;
        model[i].type = 24; /* I8: known, but nothing to compute with */
        write_part(&(part){names[0], 0, n_model, 0, 0, 1, -1, 0});
        REFUSES(LLAMA4_ERR_UNSUPPORTED, kept.name, in_folder(names[0]), (void)0);
        model[i] = last; /* one tensor less */
        if (i == n_model - 1)
            break; /* the output: then the embedding stands in for it */
        write_part(&(part){names[0], 0, n_model - 1, 0, 0, 1, -1, 0});
        REFUSES(LLAMA4_ERR_FORMAT, i == 0 ? "vocabulary" : kept.name, in_folder(names[0]), if (i == 0) continue);
        model[i] = kept;
    }
    make_model(Q4_0);
    write_part(&(part){names[0], 0, n_model, 0, 0, 1, -1, 0});
    const int64_t none_tied = plan_ok(in_folder(names[0]), NULL).resident_bytes;
    write_part(&(part){names[0], 0, n_model - 1, 0, 0, 1, -1, 0});
    llama4_plan_result tied = plan_ok(in_folder(names[0]), NULL);
    CHECK_EQ(tied.weight_bytes, stored(0, n_model - 1));
    CHECK_EQ(tied.resident_bytes - (int64_t)memory_of(&model[0]), none_tied - (int64_t)memory_of(&model[n_model - 1])); /* packed once more */
    /* Shapes beyond every disk: sums must not wrap around. */
    write_part(&(part){names[1], 0, 0, 0, 3, 0, -1, 1});
    REFUSES(LLAMA4_ERR_FORMAT, "more bytes", in_folder(names[1]), p.type = "f32");
    llama4_plan_params p = defaults();
    p.type = "q8_0";
    p.batch_size = 8192;
    p.context_length = 1 << 24;
    llama4_plan_result big = plan_ok(in_folder(names[1]), &p);
    CHECK(big.fits == LLAMA4_FITS_NOT && big.weight_bytes > (int64_t)1 << 61 && big.whole_bytes > big.weight_bytes && big.least_bytes > 0);
    remove_folder(names);
}

TEST(failing_allocations)
{
    for (size_t n = 1; n < 200; n++) {
        counting c = {.fail_at = n, .fail_count = 1};
        llama4_plan_params p = defaults();
        llama4_plan_result r = {.struct_size = sizeof r, .missing_files = 77};
        p.allocate = counting_allocate;
        p.release = counting_release;
        p.allocator_user = &c;
        error = (llama4_error)LLAMA4_ERROR_INIT;
        llama4_status status = llama4_plan(n % 2 ? TINY : SCOUT, &p, &r, &error);
        CHECK_EQ(c.live, 0);
        CHECK_EQ(c.damaged, 0);
        CHECK_EQ(status, c.failed ? LLAMA4_ERR_MEMORY : LLAMA4_OK);
        CHECK_EQ(r.missing_files == 77, c.failed > 0);
        if (!c.failed && n > 100)
            break;
    }
}

TEST(measuring)
{
    llama4_plan_params p = defaults();
    counting c = {0};
    p.flags = LLAMA4_PLAN_MEASURE;
    p.threads = 1;
    p.disk_rate = 5e8; /* what is given is kept */
    p.allocate = counting_allocate;
    p.release = counting_release;
    p.allocator_user = &c;
    llama4_plan_result r = plan_ok(TINY, &p);
    CHECK(r.memory_rate > 0 && r.compute_rate > 0 && r.disk_rate == 5e8 && r.decode_rate > 0 && r.prefill_rate > 0);
    CHECK_EQ(c.live, 0);
    CHECK_EQ(c.damaged, 0);
    CHECK(c.peak_bytes < (size_t)300 << 20);
    p.memory_rate = 1e10;
    p.compute_rate = 1e11;
    p.disk_rate = 0;
    r = plan_ok(TINY, &p);
    CHECK(r.memory_rate == 1e10 && r.compute_rate == 1e11 && r.disk_rate >= 0); /* not every file system reads past its cache */
}

TEST_MAIN(T(sizes_of_a_model_that_runs), T(keys_and_values_of_a_model_that_runs), T(every_kind_of_file), T(budgets_of_models_that_run), T(sums), T(shapes), T(parts_that_are_absent),
          T(nothing_but_keys), T(types_follow_their_neighbours), T(files_that_end_early), T(safetensors_that_are_absent), T(arguments), T(wrong_files),
          T(failing_allocations), T(measuring))
