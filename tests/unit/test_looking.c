/* Encoding pictures as work: progress, cancelling, converting the encoder, memory that runs out. */
#include <math.h>
#include <pthread.h>
#include <unistd.h>

#include "check.h"
#include "support.h"

#include "pictures.h"

/* ---- Progress and cancelling ---- */

typedef struct watch {
    float last;
    int calls, stop_at, wrong;
} watch;

static int32_t on_progress(void *user, float fraction)
{
    watch *w = user;
    w->wrong += !(fraction >= w->last && fraction <= 1.0001f);
    w->last = fraction;
    return ++w->calls == w->stop_at;
}

TEST(progress_and_cancelling)
{
    llama4_model *m = open_model(VISION, NULL);
    llama4_context *c = NULL;
    watch w = {0};
    llama4_context_params p = {.struct_size = sizeof p, .progress = on_progress, .progress_user = &w, .threads = 2};
    REQUIRE(m && !llama4_context_create(m, &p, &c, &error));
    llama4_image *image = picture(150, 100, 9, NULL);
    llama4_embeddings *e = NULL;
    CHECK_STATUS(llama4_image_encode(c, image, &e, &error), LLAMA4_OK, error);
    llama4_embeddings_release(e);
    CHECK(w.wrong == 0 && w.last > 0.999f && w.calls >= 4);
    const int encode_calls = w.calls;
    for (int stop = 1; stop <= encode_calls; stop++) {
        w = (watch){.stop_at = stop};
        e = NULL;
        CHECK_STATUS(llama4_image_encode(c, image, &e, &error), LLAMA4_ERR_CANCELLED, error);
        CHECK(e == NULL);
    }
    llama4_context_cancel(c);
    w = (watch){0};
    CHECK_STATUS(llama4_image_encode(c, image, &e, &error), LLAMA4_ERR_CANCELLED, error);
    CHECK_STATUS(llama4_image_encode(c, image, &e, &error), LLAMA4_OK, error); /* once only */
    llama4_embeddings_release(e);

    /* A chat: encoding and decoding are one work, from 0 to 1. */
    llama4_part parts[2] = {image_part(image), text_part("What?")};
    llama4_message message = message_of(parts, 2);
    llama4_generate_params g = {.struct_size = sizeof g, .max_tokens = 1};
    w = (watch){0};
    CHECK_STATUS(llama4_context_chat(c, 0, &message, 1, sizeof message, &g, NULL, NULL, NULL, &error), LLAMA4_OK, error);
    CHECK(w.wrong == 0 && w.last > 0.999f && w.calls > encode_calls);
    const int64_t length = llama4_context_sequence_length(c, 0);
    const int chat_calls = w.calls;
    for (int stop = 1; stop <= chat_calls; stop++) {
        w = (watch){.stop_at = stop};
        CHECK_STATUS(llama4_context_chat(c, 0, &message, 1, sizeof message, &g, NULL, NULL, NULL, &error), LLAMA4_ERR_CANCELLED, error);
        CHECK_EQ(w.wrong, 0);
        int64_t now = llama4_context_sequence_length(c, 0);
        CHECK_EQ(now, stop <= encode_calls ? length : 0); /* emptied when the new conversation begins */
        if (now == 0) {
            w = (watch){0};
            CHECK_STATUS(llama4_context_chat(c, 0, &message, 1, sizeof message, &g, NULL, NULL, NULL, &error), LLAMA4_OK, error);
        }
    }
    llama4_image_release(image);
    llama4_context_release(c);
    llama4_model_release(m);
}

static void *cancel_soon(void *user)
{
    for (int i = 0; i < 200; i++)
        llama4_context_cancel(user);
    return NULL;
}

/* From another thread, at any moment: cancelled or done, never something else. */
TEST(cancelling_from_elsewhere)
{
    llama4_model *m = open_model(VISION, NULL);
    llama4_context *c = m ? open_context(m, 2, 0) : NULL;
    llama4_image *image = picture(150, 100, 9, NULL);
    REQUIRE(c != NULL);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        llama4_embeddings *e = NULL;
        REQUIRE(pthread_create(&thread, NULL, cancel_soon, c) == 0);
        llama4_status status = llama4_image_encode(c, image, &e, &error);
        CHECK((status == LLAMA4_OK) == (e != NULL) && (status == LLAMA4_OK || status == LLAMA4_ERR_CANCELLED));
        pthread_join(thread, NULL);
        llama4_embeddings_release(e);
    }
    llama4_image_release(image);
    llama4_context_release(c);
    llama4_model_release(m);
}

/* ---- Converting ---- */

static char converted[] = "/tmp/llama4-test-XXXXXX";

/* Written as float32 the encoder is the same, in fewer bits nearly so. */
TEST(mmproj_files)
{
    static const char *const types[] = {"f32", "bf16", NULL, "f16", "q8_0", "q4_k_m"};
    llama4_model *m = open_model(VISION, NULL);
    llama4_context *c = m ? open_context(m, 2, 0) : NULL;
    llama4_image *image = picture(100, 60, 3, NULL);
    size_t n = 0;
    float *want = c ? encoded(c, image, &n) : NULL;
    REQUIRE(want != NULL);
    close(mkstemp(converted));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        llama4_convert_params p = {.struct_size = sizeof p, .flags = LLAMA4_CONVERT_VISION, .type = types[i]};
        llama4_model_params with = {.struct_size = sizeof with, .vision_path = converted};
        REQUIRE_STATUS(llama4_convert(VISION, converted, &p, &error), LLAMA4_OK, error);
        llama4_model *other = open_model(VISION, &with);
        llama4_context *o = other ? open_context(other, 1, 0) : NULL;
        size_t count = 0;
        float *got = o ? encoded(o, image, &count) : NULL;
        REQUIRE(got && count == n);
        double off = 0, size = 0;
        for (size_t k = 0; k < n; k++) {
            off += fabs((double)got[k] - (double)want[k]);
            size += fabs((double)want[k]);
        }
        CHECK(i < 3 ? memcmp(got, want, n * sizeof *got) == 0 : off < (i == 3 ? 1e-3 : i == 4 ? 0.05 : 0.5) * size);
        free(got);
        llama4_context_release(o);
        llama4_model_release(other);
    }
    unlink(converted);
    llama4_convert_params p = {.struct_size = sizeof p, .flags = LLAMA4_CONVERT_VISION};
    CHECK_STATUS(llama4_convert(SCOUT, converted, &p, &error), LLAMA4_ERR_FORMAT, error);
    CHECK_STATUS(llama4_convert(TINY, converted, &p, &error), LLAMA4_ERR_UNSUPPORTED, error);
    p.type = "q9";
    CHECK_STATUS(llama4_convert(VISION, converted, &p, &error), LLAMA4_ERR_ARGUMENT, error);
    CHECK(access(converted, F_OK) != 0);
    free(want);
    llama4_image_release(image);
    llama4_context_release(c);
    llama4_model_release(m);
}

/* ---- Memory that runs out ---- */

/* Opens, shows, answers; the n-th allocation fails. Returns the failures met; the answer goes to *a if there were none. */
static size_t try_all(size_t n, answer *a)
{
    counting heap = {.fail_at = n, .fail_count = 1};
    llama4_model_params mp = counting_params(&heap);
    llama4_image_params ip = {.struct_size = sizeof ip, .allocate = mp.allocate, .release = mp.release, .allocator_user = mp.allocator_user};
    llama4_context_params cp = {.struct_size = sizeof cp, .threads = 1};
    llama4_model *m = NULL;
    llama4_context *c = NULL;
    llama4_image *image = NULL;
    llama4_embeddings *e = NULL;
    uint8_t pixels[90 * 60];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 11);
    llama4_status status = llama4_image_create(pixels, sizeof pixels, 90, 60, 0, 1, &ip, &image, &error);
    if (!status)
        status = llama4_model_open(VISION, &mp, &m, &error);
    if (!status)
        status = llama4_context_create(m, &cp, &c, &error);
    if (!status)
        status = llama4_image_encode(c, image, &e, &error);
    if (!status) {
        llama4_part parts[3] = {image_part(image), text_part("and"), {.struct_size = sizeof(llama4_part), .embeddings = e}};
        llama4_message message = message_of(parts, 3);
        llama4_generate_params g = {.struct_size = sizeof g, .max_tokens = 3, .flags = LLAMA4_GENERATE_IGNORE_STOP};
        a->n = 0;
        status = llama4_context_chat(c, 0, &message, 1, sizeof message, &g, on_text, a, NULL, &error);
    }
    if (heap.failed)
        CHECK_STATUS(status, LLAMA4_ERR_MEMORY, error);
    else
        CHECK_STATUS(status, LLAMA4_OK, error);
    llama4_embeddings_release(e);
    llama4_context_release(c);
    llama4_model_release(m);
    llama4_image_release(image);
    CHECK(heap.live == 0 && heap.damaged == 0);
    return heap.failed;
}

TEST(out_of_memory)
{
    answer a = {.n = 0}, b = {.n = 0};
    size_t n = 1;
    CHECK_EQ(try_all(0, &a), 0);
    CHECK_EQ(a.n, 3);
    while (try_all(n, &b))
        n++;
    CHECK(n > 60);
    CHECK_MEM(a.ids, b.ids, 3 * sizeof *a.ids);
}

TEST_MAIN(T(progress_and_cancelling), T(cancelling_from_elsewhere), T(mmproj_files), T(out_of_memory))
