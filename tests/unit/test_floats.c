/* A host that has set its floating-point unit otherwise gets the same results, lives on where an infinity is computed with, and finds its settings and
 * flags as it left them. */
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "support.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { IDS = 40, VOCABULARY = 4096 };

typedef struct outcome {
    float logits[VOCABULARY];
    size_t n;
    int32_t token, columns;
} outcome;

/* Opens, computes on two threads, samples, and makes a picture's tiles. */
static void compute(outcome *o)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model *model = NULL;
    llama4_context *context = NULL;
    llama4_sampler *sampler = NULL;
    llama4_image *image = NULL;
    llama4_context_params params;
    llama4_batch_item items[IDS];
    const float *logits = NULL;
    static uint8_t pixels[97 * 61 * 3];
    int32_t ids[IDS];
    memset(o, 0, sizeof *o);
    CHECK_STATUS(llama4_model_open(TINY, NULL, &model, &error), LLAMA4_OK, error);
    llama4_context_params_init(&params, sizeof params);
    params.threads = 2;
    CHECK_STATUS(llama4_context_create(model, &params, &context, &error), LLAMA4_OK, error);
    make_ids(ids, IDS, 3, 300);
    memset(items, 0, sizeof items);
    for (size_t i = 0; i < IDS; i++)
        items[i].token = ids[i], items[i].position = -1, items[i].logits = i == IDS - 1;
    CHECK_STATUS(llama4_context_decode(context, items, IDS, sizeof *items, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_context_logits(context, IDS - 1, &logits, &o->n, &error), LLAMA4_OK, error);
    memcpy(o->logits, logits, (o->n < VOCABULARY ? o->n : VOCABULARY) * sizeof *logits);
    CHECK_STATUS(llama4_sampler_create(model, 7, &sampler, &error), LLAMA4_OK, error);
    CHECK_EQ(llama4_sampler_add_top_p(sampler, NAN, NULL), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS(llama4_sampler_add_temperature(sampler, 0.7f, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_sampler_sample(sampler, logits, o->n, &o->token, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_image_create(pixels, sizeof pixels, 97, 61, 97 * 3, 3, NULL, &image, &error), LLAMA4_OK, error);
    llama4_image_release(image);
    llama4_sampler_release(sampler);
    llama4_context_release(context);
    llama4_model_release(model);
}

static const outcome *usual(void)
{
    static outcome o;
    if (!o.n)
        compute(&o);
    return &o;
}

static void check_like_usual(void)
{
    static outcome o;
    const outcome *expected = usual();
    compute(&o);
    CHECK(o.n > 0 && memcmp(&o, expected, sizeof o) == 0);
}

TEST(other_roundings)
{
    static const int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    usual();
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        CHECK_EQ(fesetround(modes[i]), 0);
        check_like_usual();
        CHECK_EQ(fegetround(), modes[i]);
    }
    fesetround(FE_TONEAREST);
}

TEST(flags_stay_as_they_are)
{
    usual();
    feclearexcept(FE_ALL_EXCEPT);
    check_like_usual();
    CHECK_EQ(fetestexcept(FE_ALL_EXCEPT), 0);
    feraiseexcept(FE_DIVBYZERO);
    check_like_usual();
    CHECK_EQ(fetestexcept(FE_ALL_EXCEPT), FE_DIVBYZERO);
    feclearexcept(FE_ALL_EXCEPT);
}

#if defined(__x86_64__)
TEST(subnormal_numbers_as_zero)
{
    usual();
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    check_like_usual();
    CHECK_EQ(_mm_getcsr() & 0xffc0, (before | 0x8040) & 0xffc0);
    _mm_setcsr(before);
}

TEST(exceptions_that_trap)
{
    usual();
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before & ~0x1f80u & ~0x3fu);
    check_like_usual();
    CHECK_EQ(_mm_getcsr() & 0xffc0, before & ~0x1f80u & 0xffc0);
    _mm_setcsr(before);
}
#define TRAPS T(subnormal_numbers_as_zero), T(exceptions_that_trap),
#else
#define TRAPS
#endif

TEST_MAIN(T(other_roundings), TRAPS T(flags_stay_as_they_are))
