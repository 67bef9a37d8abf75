/* Pictures: geometry and tiles against the reference's preprocessing, embeddings and logits against its models. What is computed must be the same
 * bit for bit with 1, 2 and 5 threads, in one batch and token by token. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"
#include "base/bytes.h"
#include "base/half.h"
#include "format/safetensors.h"
#include "vision/tiles.h"

static double deviation(const float *got, const void *want, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        float w;
        memcpy(&w, (const char *)want + i * sizeof w, sizeof w);
        double d = fabs((double)got[i] - (double)w);
        if (!(d < INFINITY))
            return INFINITY;
        worst = d > worst ? d : worst;
    }
    return worst;
}

static const l4_tensor *find_float(const struct l4_archive *golden, const char *name, uint32_t dims)
{
    const l4_tensor *t = name ? l4_archive_find(golden, name) : NULL;
    return t && t->type == LLAMA4_TYPE_F32 && t->n_dims == dims ? t : NULL;
}

/* ---- Geometry ---- */

void geometry_run(const char *path)
{
    size_t size, right = 0, lines = 0;
    char *text = read_file(path, &size), *at = text ? strchr(text, '\n') : NULL, first[128] = "";
    for (; at && at[1]; at = strchr(at + 1, '\n')) {
        unsigned n[10];
        if (sscanf(at + 1, "%u,%u,%u,%u,%u,%u,%u,%u,%u,%u", n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7, n + 8, n + 9) != 10)
            break;
        l4_grid g = l4_tiles_grid(n[0], n[1], 336, 16);
        unsigned tiles = g.columns * g.rows, tokens = tiles == 1 ? 147 : 145 * tiles + 147;
        int same = g.columns * 336 == n[2] && g.rows * 336 == n[3] && g.width == n[4] && g.height == n[5] && tiles == n[8] && tokens == n[9];
        if (!same && !first[0])
            snprintf(first, sizeof first, "%u x %u: canvas %u x %u, resized %u x %u", n[0], n[1], (unsigned)g.columns * 336, (unsigned)g.rows * 336,
                     (unsigned)g.width, (unsigned)g.height);
        right += (size_t)same;
        lines++;
    }
    if (!lines || (at && at[1]))
        report_failed("image_geometry.csv", "%s", text ? "a line that cannot be read" : "cannot be read");
    else if (right != lines)
        report_failed("image_geometry.csv", "%zu of %zu sizes equal; %s", right, lines, first);
    else
        report_passed("image_geometry.csv", "%zu sizes equal", right);
    free(text);
}

/* ---- Tiles ---- */

/* The byte that a normalised number stands for; the reference rounds to bfloat16 on the way, which moves none by half a step. */
static int byte_of(float x)
{
    return (int)floor(((double)x * 0.5 + 0.5) * 255 + 0.5);
}

/* Compares every step-th row and column of tiles [n][tile][tile][3] with want [n][3][samples][samples]; the largest difference, in bytes. */
static int tile_difference(const uint8_t *tiles, const l4_tensor *want, size_t n, size_t tile, size_t step)
{
    size_t samples = (tile + step - 1) / step;
    int worst = 0;
    if (want->dims[0] != samples || want->dims[1] != samples || want->dims[2] != 3 || want->dims[3] != n)
        return 256;
    for (size_t i = 0; i < n * 3 * samples * samples; i++) {
        size_t x = i % samples, y = i / samples % samples, c = i / samples / samples % 3, t = i / samples / samples / 3;
        float w;
        memcpy(&w, want->data + i * sizeof w, sizeof w);
        int d = abs(tiles[((t * tile + y * step) * tile + x * step) * 3 + c] - byte_of(w));
        worst = d > worst ? d : worst;
    }
    return worst;
}

/* A file's tiles, to be freed; NULL: see *error. */
static uint8_t *cut_file(const char *path, uint32_t tile, uint32_t max_tiles, l4_grid *grid, llama4_error *error)
{
    const l4_picture_options options = {1 << 26, 1};
    l4_picture p;
    size_t size;
    char *data = read_file(path, &size);
    uint8_t *tiles = NULL;
    if (!data)
        l4_fail(error, LLAMA4_ERR_IO, "%s cannot be read", path);
    else if (l4_picture_decode(&l4_system_allocator, data, size, &options, path, &p, error) == LLAMA4_OK) {
        *grid = l4_tiles_grid(p.width, p.height, tile, max_tiles);
        tiles = xmalloc((size_t)l4_tiles_count(grid) * tile * tile * 3);
        if (l4_tiles_cut(&l4_system_allocator, &p, grid, tile, tiles, error)) {
            free(tiles);
            tiles = NULL;
        }
        l4_free(&l4_system_allocator, p.rgb);
    }
    free(data);
    return tiles;
}

void tiles_run(const char *folder, const char *name, const golden_case *c, const struct l4_archive *golden)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_image *image = NULL;
    llama4_image_info info = {.struct_size = sizeof info};
    const l4_tensor *sample = find_float(golden, c->sample, 4);
    char *path = xprintf("%s/%s", folder, c->image);
    l4_grid grid;
    uint8_t *tiles = NULL;
    llama4_status status = llama4_image_open(path, NULL, &image, &error);
    if (!status)
        status = llama4_image_get_info(image, NULL, &info, &error);
    int worst = 256;
    if (!status && sample && (tiles = cut_file(path, 336, 16, &grid, &error)) != NULL)
        worst = tile_difference(tiles, sample, l4_tiles_count(&grid), 336, 7);
    if (status == LLAMA4_ERR_UNSUPPORTED)
        report_skipped(name, "%s", error.message);
    else if (status || !sample || !tiles)
        report_failed(name, "%s", sample ? error.message : "golden.safetensors has no such sample");
    else if (c->tiles.count != 2 || info.rows != c->tiles.data[0] || info.columns != c->tiles.data[1])
        report_failed(name, "%ld x %ld tiles", (long)info.rows, (long)info.columns);
    else if (worst > 1)
        report_failed(name, "tiles differ by up to %d in 255, or in number", worst);
    else
        report_passed(name, "%ld tiles, within %d in 255", (long)info.tiles, worst);
    free(tiles);
    free(path);
    llama4_image_release(image);
}

/* ---- Embeddings ---- */

static llama4_status new_context(llama4_model *model, int32_t threads, llama4_context **out, llama4_error *error)
{
    llama4_context_params p;
    llama4_context_params_init(&p, sizeof p);
    p.threads = threads;
    p.kv_type = LLAMA4_KV_F32;
    return llama4_context_create(model, &p, out, error);
}

/* Embeddings of an image, copied; NULL: see *error. */
static float *encode(llama4_context *context, const llama4_image *image, size_t *n, llama4_error *error)
{
    llama4_embeddings *e = NULL;
    const float *numbers;
    float *out = NULL;
    llama4_status status = llama4_image_encode(context, image, &e, error);
    if (!status)
        status = llama4_embeddings_data(e, &numbers, n, error);
    if (!status) {
        out = xmalloc(*n * sizeof *out);
        memcpy(out, numbers, *n * sizeof *out);
    }
    llama4_embeddings_release(e);
    return out;
}

float *picture_embeddings(llama4_context *context, const char *path, size_t *n, llama4_error *error)
{
    llama4_image *image = NULL;
    float *out = NULL;
    if (!llama4_image_open(path, NULL, &image, error))
        out = encode(context, image, n, error);
    llama4_image_release(image);
    return out;
}

/* The same with other numbers of threads: NULL, or what is wrong. */
static const char *threads_agree(llama4_model *model, const llama4_image *image, const float *numbers, size_t n, llama4_error *error)
{
    static const int32_t threads[] = {1, 2, 5};
    const char *wrong = NULL;
    for (size_t i = 0; i < sizeof threads / sizeof *threads && !wrong; i++) {
        llama4_context *context = NULL;
        size_t count = 0;
        float *again = new_context(model, threads[i], &context, error) ? NULL : encode(context, image, &count, error);
        if (!again)
            wrong = error->message;
        else if (count != n || memcmp(again, numbers, n * sizeof *again) != 0)
            wrong = "another number of threads gives other bits";
        free(again);
        llama4_context_release(context);
    }
    return wrong;
}

/* ---- Logits ---- */

/* Decodes ids, `step` at a time, with embeddings in place of the patches; rows gets the logits of all. */
static llama4_status decode(llama4_context *context, const golden_case *c, int32_t patch, const float *embeddings, size_t width, size_t step,
                            float *rows, size_t vocabulary, llama4_error *error)
{
    llama4_batch_item *items = xmalloc(c->ids.count * sizeof *items);
    llama4_status status = LLAMA4_OK;
    size_t used = 0;
    for (size_t begin = 0; begin < c->ids.count && !status; begin += step) {
        size_t n = c->ids.count - begin < step ? c->ids.count - begin : step, patches = 0;
        for (size_t i = 0; i < n; i++) {
            items[i] = (llama4_batch_item){.token = c->ids.data[begin + i], .position = -1, .logits = 1};
            if (items[i].token == patch) {
                patches++;
                items[i].token = begin % 2 ? -1 : patch; /* both mean the same */
            }
        }
        status = llama4_context_decode_embeddings(context, items, n, sizeof *items, embeddings + used * width, patches * width, error);
        used += patches;
        for (size_t i = 0; i < n && !status; i++) {
            const float *logits;
            size_t count;
            status = llama4_context_logits(context, i, &logits, &count, error);
            if (!status)
                memcpy(rows + (begin + i) * vocabulary, logits, vocabulary * sizeof *rows);
        }
    }
    free(items);
    return status;
}

/* The prompt in one batch, then token by token: the largest deviation of the logits; negative if the two differ, or fail. */
static double logits_deviation(llama4_model *model, const golden_case *c, const float *embeddings, size_t width, const l4_tensor *want,
                               const options *o, llama4_error *error)
{
    const size_t vocabulary = (size_t)want->dims[0], n = c->ids.count * vocabulary;
    const int32_t patch = llama4_vocab_find(llama4_model_get_vocab(model), "<|patch|>", strlen("<|patch|>"));
    float *rows = xmalloc(n * sizeof *rows), *again = xmalloc(n * sizeof *again);
    llama4_context *context = NULL;
    double worst = -1;
    llama4_status status = new_context(model, o->threads, &context, error);
    if (!status)
        status = decode(context, c, patch, embeddings, width, c->ids.count, rows, vocabulary, error);
    if (!status)
        status = llama4_context_truncate(context, 0, 0, error);
    if (!status)
        status = decode(context, c, patch, embeddings, width, 1, again, vocabulary, error);
    if (!status && memcmp(rows, again, n * sizeof *rows) == 0)
        worst = deviation(rows, want->data, n);
    else if (!status)
        l4_fail(error, LLAMA4_ERR_STATE, "token by token: other bits than in one batch");
    llama4_context_release(context);
    free(rows);
    free(again);
    return worst;
}

/* ---- Cases ---- */

/* The picture's file gives the reference's tiles. */
static int file_agrees(const char *folder, const char *name, const golden_case *c, const llama4_model_info *info, const l4_tensor *pixels)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    char *path = xprintf("%s/%s", folder, c->image);
    l4_grid grid;
    uint8_t *tiles = cut_file(path, (uint32_t)info->tile_size, (uint32_t)info->max_tiles, &grid, &error);
    int worst = 256, unsupported = !tiles && error.status == LLAMA4_ERR_UNSUPPORTED;
    if (tiles)
        worst = tile_difference(tiles, pixels, l4_tiles_count(&grid), (size_t)info->tile_size, 1);
    if (!tiles && !unsupported)
        report_failed(name, "%s", error.message);
    else if (tiles && ((int32_t)grid.rows != c->tiles.data[0] || (int32_t)grid.columns != c->tiles.data[1] || worst > 1))
        report_failed(name, "%u x %u tiles that differ by up to %d in 255", (unsigned)grid.rows, (unsigned)grid.columns, worst);
    free(tiles);
    free(path);
    return unsupported || (tiles && worst <= 1);
}

/* The golden tensors of a case, and its image from them; 0 if something is missing, and reported unless name is NULL. */
typedef struct tensors {
    const l4_tensor *pixels, *features, *logits;
    llama4_image *image;
} tensors;

static int open_case(const llama4_model *model, const char *name, const golden_case *c, const struct l4_archive *golden, llama4_model_info *info, tensors *t)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    *t = (tensors){find_float(golden, c->pixels, 4), find_float(golden, c->features, 2), find_float(golden, c->logits, 2), NULL};
    *info = (llama4_model_info){.struct_size = sizeof *info};
    if (!t->pixels || !t->features || !t->logits || c->tiles.count != 2 || t->logits->dims[1] != c->ids.count)
        l4_fail(&error, LLAMA4_ERR_FORMAT, "pixels, features, logits or tiles are missing, or of the wrong shape");
    else if (!llama4_model_get_info(model, info, &error) && (!info->vision_layers || (int64_t)t->logits->dims[0] != info->vocab_size))
        l4_fail(&error, LLAMA4_ERR_FORMAT, "the model has no picture encoder, or another vocabulary");
    if (!error.status) {
        size_t n = (size_t)(t->pixels->size / 4);
        float *copy = xmalloc(n * sizeof *copy);
        memcpy(copy, t->pixels->data, n * sizeof *copy);
        llama4_image_create_tiles(copy, n, c->tiles.data[1], c->tiles.data[0], info->tile_size, NULL, &t->image, &error);
        free(copy);
    }
    if (error.status && name)
        report_failed(name, "%s", error.message);
    return !error.status;
}

/* The golden features, times the projector of the model's folder: what they become where they were taken in front of it. To be freed; NULL if there
 * is no such projector. */
static float *project(const char *folder, const l4_tensor *features)
{
    char *path = xprintf("%s/model", folder);
    const size_t in = (size_t)features->dims[0], rows = (size_t)features->dims[1];
    float *out = NULL;
    l4_archive a;
    if (l4_safetensors_open(&l4_system_allocator, path, &a, NULL) == LLAMA4_OK) {
        const l4_tensor *p = l4_archive_find(&a, "multi_modal_projector.linear_1.weight");
        if (p && p->type == LLAMA4_TYPE_BF16 && p->dims[0] == in) {
            out = xmalloc(rows * p->dims[1] * sizeof *out);
            for (size_t i = 0; i < rows * p->dims[1]; i++) {
                double sum = 0;
                for (size_t k = 0; k < in; k++)
                    sum += (double)l4_load_f32(features->data + (i / p->dims[1] * in + k) * 4) *
                           (double)l4_bf16_to_f32(l4_load_u16(p->data + (i % p->dims[1] * in + k) * 2));
                out[i] = (float)sum;
            }
        }
        l4_archive_clear(&a);
    }
    free(path);
    return out;
}

static double features_deviation(const char *folder, const l4_tensor *features, const float *numbers, size_t n)
{
    double d = deviation(numbers, features->data, n);
    float *projected = d <= PICTURE_TOLERANCE ? NULL : project(folder, features);
    if (projected)
        d = deviation(numbers, projected, n);
    free(projected);
    return d;
}

double picture_deviation(llama4_model *model, const golden_case *c, const struct l4_archive *golden, const options *o)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model_info info;
    llama4_context *context = NULL;
    tensors t;
    double worst = -1;
    size_t n = 0;
    if (open_case(model, NULL, c, golden, &info, &t) && !new_context(model, o->threads, &context, &error)) {
        float *numbers = encode(context, t.image, &n, &error);
        if (numbers)
            worst = logits_deviation(model, c, numbers, (size_t)info.embedding_length, t.logits, o, &error);
        free(numbers);
    }
    llama4_context_release(context);
    llama4_image_release(t.image);
    return worst < 0 ? INFINITY : worst;
}

void picture_run(llama4_model *model, const char *folder, const char *name, const golden_case *c, const struct l4_archive *golden, const options *o)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model_info info;
    llama4_context *context = NULL;
    tensors t;
    size_t n = 0;
    if (!open_case(model, name, c, golden, &info, &t))
        return;
    float *numbers = new_context(model, o->threads, &context, &error) ? NULL : encode(context, t.image, &n, &error);
    const char *wrong = !numbers ? error.message : n * 4 != t.features->size ? "another number of features" : threads_agree(model, t.image, numbers, n, &error);
    double d = wrong ? 0 : features_deviation(folder, t.features, numbers, n);
    double e = wrong ? 0 : logits_deviation(model, c, numbers, (size_t)info.embedding_length, t.logits, o, &error);
    if (wrong || e < 0)
        report_failed(name, "%s", wrong ? wrong : error.message);
    else if (!(d <= PICTURE_TOLERANCE) || !(e <= PICTURE_TOLERANCE))
        report_failed(name, "features deviate by %.1e, logits by %.1e, allowed are %.0e", d, e, PICTURE_TOLERANCE);
    else if (file_agrees(folder, name, c, &info, t.pixels))
        report_passed(name, "%ld tiles, features within %.1e, logits of %zu ids within %.1e (of %.0e), every thread count bit-identical",
                      (long)t.pixels->dims[3], d, c->ids.count, e, PICTURE_TOLERANCE);
    llama4_context_release(context);
    llama4_image_release(t.image);
    free(numbers);
}

void encoder_run(llama4_model *model, const char *name, const float *pixels, size_t n_pixels, const float *projected, size_t n_projected, const options *o)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model_info info = {.struct_size = sizeof info};
    llama4_context *context = NULL;
    const char *wrong = NULL;
    double worst = 0;
    size_t tiles = 0, one = 0;
    if (llama4_model_get_info(model, &info, &error) || new_context(model, o->threads, &context, &error))
        wrong = error.message;
    else {
        one = 3 * (size_t)info.tile_size * (size_t)info.tile_size;
        tiles = n_pixels / one;
        if (!tiles || n_pixels % one || n_projected != tiles * (size_t)info.tile_tokens * (size_t)info.embedding_length)
            wrong = "the files are of other lengths than the model's tiles";
    }
    for (size_t i = 0; i < tiles && !wrong; i++) {
        llama4_image *image = NULL;
        size_t count = 0;
        float *numbers = llama4_image_create_tiles(pixels + i * one, one, 1, 1, info.tile_size, NULL, &image, &error) ? NULL : encode(context, image, &count, &error);
        wrong = !numbers ? error.message : threads_agree(model, image, numbers, count, &error);
        double d = wrong ? 0 : deviation(numbers, projected + i * count, count);
        worst = d > worst ? d : worst;
        llama4_image_release(image);
        free(numbers);
    }
    if (wrong)
        report_failed(name, "%s", wrong);
    else if (!(worst <= PICTURE_TOLERANCE))
        report_failed(name, "embeddings deviate by %.1e, allowed are %.0e", worst, PICTURE_TOLERANCE);
    else
        report_passed(name, "%zu tiles, embeddings within %.1e (of %.0e), every thread count bit-identical", tiles, worst, PICTURE_TOLERANCE);
    llama4_context_release(context);
}
