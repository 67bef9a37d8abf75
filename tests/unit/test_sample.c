/* The sampler chain and its random numbers: sequences written down once and for all, statistics, borders, failing memory. */
#include <math.h>
#include <stdlib.h>

#include "base/math.h"
#include "check.h"
#include "sample/random.h"
#include "sample/sampler.h"

#define MANY 202048 /* the published vocabulary */

typedef struct link {
    int kind;
    float value;
    int32_t k;
} link;

static llama4_sampler *make(uint64_t seed, const link *chain, size_t n)
{
    llama4_sampler *s = NULL;
    CHECK_EQ(l4_sampler_create(&l4_system_allocator, NULL, seed, &s, NULL), LLAMA4_OK);
    for (size_t i = 0; i < n; i++)
        CHECK_EQ(l4_sampler_add(s, chain[i].kind, chain[i].value, chain[i].k, NULL), LLAMA4_OK);
    return s;
}

static int32_t sample(llama4_sampler *s, const float *logits, size_t n)
{
    int32_t token = -1;
    llama4_error error = LLAMA4_ERROR_INIT;
    CHECK_STATUS(l4_sampler_sample(s, logits, n, &token, &error), LLAMA4_OK, error);
    return token;
}

/* Logits that look like a model's: few high, many low; the same on every machine. */
static float *make_logits(size_t n, uint64_t seed)
{
    l4_random r;
    float *logits = malloc(n * sizeof *logits);
    l4_random_seed(&r, seed);
    for (size_t i = 0; i < n; i++) {
        double u = l4_random_unit(&r);
        logits[i] = (float)(-4.0 + 20.0 * u * u * u * u * u * u * u * u);
    }
    return logits;
}

/* Draws often; fills counts [n]. */
static void count(const link *chain, size_t n_chain, const float *logits, size_t n, int draws, int *counts)
{
    llama4_sampler *s = make(7, chain, n_chain);
    memset(counts, 0, n * sizeof *counts);
    for (int i = 0; i < draws; i++)
        counts[sample(s, logits, n)]++;
    l4_sampler_destroy(s);
}

TEST(random_numbers_are_xoshiro256starstar)
{
    /* From the published algorithms, worked out apart from this library, for seed 0. */
    static const uint64_t zero[] = {0x99ec5f36cb75f2b4, 0xbf6e1f784956452a, 0x1a5f849d4933e6e0, 0x6aa594f1262d2d2c};
    l4_random r;
    l4_random_seed(&r, 0);
    for (size_t i = 0; i < 4; i++)
        CHECK(l4_random_bits(&r) == zero[i]);
    double sum = 0.0;
    for (int i = 0; i < 100000; i++) {
        double u = l4_random_unit(&r);
        CHECK(u >= 0.0 && u < 1.0);
        sum += u;
    }
    CHECK(fabs(sum / 100000 - 0.5) < 0.003);
}

TEST(golden_sequences)
{
    static const link chains[][3] = {
        {{L4_STEP_TEMPERATURE, 1.0f, 0}},
        {{L4_STEP_TEMPERATURE, 0.6f, 0}, {L4_STEP_TOP_P, 0.9f, 0}},
        {{L4_STEP_TOP_K, 0, 40}, {L4_STEP_TEMPERATURE, 2.0f, 0}},
        {{L4_STEP_MIN_P, 0.05f, 0}, {L4_STEP_TEMPERATURE, 1.5f, 0}, {L4_STEP_TOP_P, 0.95f, 0}},
    };
    static const int32_t golden[4][12] = {
        {83, 641, 1152, 1947, 1983, 1321, 1272, 1710, 1300, 881, 1152, 452},
        {78, 509, 1152, 1906, 1971, 1272, 1152, 1272, 1272, 881, 1152, 405},
        {83, 641, 1272, 1947, 1983, 1472, 1272, 1864, 1435, 958, 1272, 452},
        {83, 641, 1229, 1947, 1983, 1435, 1272, 1864, 1435, 958, 1272, 452},
    };
    float *logits = make_logits(2048, 1);
    for (size_t c = 0; c < 4; c++) {
        llama4_sampler *s = make(42, chains[c], c == 3 ? 3 : c == 0 ? 1 : 2);
        for (size_t i = 0; i < 12; i++) {
            int32_t token = sample(s, logits, 2048);
            if (!CHECK_EQ(token, golden[c][i]))
                printf("chain %zu, draw %zu\n", c, i);
        }
        l4_sampler_reset(s, 42);
        for (size_t i = 0; i < 12; i++)
            CHECK_EQ(sample(s, logits, 2048), golden[c][i]);
        l4_sampler_destroy(s);
    }
    free(logits);
}

TEST(greedy_takes_the_lowest_of_equals)
{
    static const link chains[][2] = {{{L4_STEP_GREEDY, 0, 0}},
                                     {{L4_STEP_TEMPERATURE, 0.0f, 0}},
                                     {{L4_STEP_TOP_K, 0, 3}, {L4_STEP_GREEDY, 0, 0}},
                                     {{L4_STEP_TOP_K, 0, 1}, {L4_STEP_TEMPERATURE, 5.0f, 0}},
                                     {{L4_STEP_TOP_P, 0.0f, 0}, {L4_STEP_TEMPERATURE, 5.0f, 0}}};
    static const size_t lengths[] = {1, 1, 2, 2, 2};
    static const float logits[] = {-1.0f, 3.0f, NAN, 3.0f, 2.0f};
    static const float zeros[] = {-1.0f, -0.0f, 0.0f};
    for (size_t i = 0; i < 5; i++) {
        llama4_sampler *s = make(i, chains[i], lengths[i]);
        CHECK_EQ(sample(s, logits, 5), 1);
        CHECK_EQ(sample(s, zeros, 3), 1);
        l4_sampler_destroy(s);
    }
    llama4_sampler *empty = make(0, NULL, 0);
    CHECK_EQ(sample(empty, logits, 5), 1);
    l4_sampler_destroy(empty);
    int32_t token = -1;
    CHECK_EQ(l4_sample_greedy(logits, 5, &token, NULL), LLAMA4_OK);
    CHECK_EQ(token, 1);
}

TEST(draws_follow_the_probabilities)
{
    /* Probabilities 0.5, 0.3, 0.15, 0.05 by their logarithms. */
    static const double p[] = {0.5, 0.3, 0.15, 0.05};
    float logits[4];
    int counts[4];
    for (int i = 0; i < 4; i++)
        logits[i] = (float)log(p[i]);
    static const link plain[] = {{L4_STEP_TEMPERATURE, 1.0f, 0}};
    count(plain, 1, logits, 4, 100000, counts);
    for (int i = 0; i < 4; i++)
        CHECK(fabs(counts[i] / 100000.0 - p[i]) < 0.006);
    static const link hot[] = {{L4_STEP_TEMPERATURE, 2.0f, 0}}; /* weights are the square roots */
    double sum = 0.0;
    for (int i = 0; i < 4; i++)
        sum += sqrt(p[i]);
    count(hot, 1, logits, 4, 100000, counts);
    for (int i = 0; i < 4; i++)
        CHECK(fabs(counts[i] / 100000.0 - sqrt(p[i]) / sum) < 0.006);
    static const link two[] = {{L4_STEP_TOP_K, 0, 2}};
    count(two, 1, logits, 4, 100000, counts);
    CHECK(fabs(counts[0] / 100000.0 - 0.625) < 0.006);
    CHECK_EQ(counts[2] + counts[3], 0);
}

/* Which of four tokens can come. */
static unsigned possible(const link *chain, size_t n_chain, const float *logits, size_t n)
{
    int counts[8];
    unsigned mask = 0;
    count(chain, n_chain, logits, n, 3000, counts);
    for (size_t i = 0; i < n; i++)
        mask |= counts[i] ? 1u << i : 0;
    return mask;
}

TEST(top_p_counts_the_mass_before)
{
    /* Shares 1/2, 1/4, 1/8, 1/8: weights are exact powers of two only in theory, so the borders are tried from both sides. */
    float logits[4];
    static const double p[] = {0.5, 0.25, 0.125, 0.125};
    for (int i = 0; i < 4; i++)
        logits[i] = (float)log(p[i]);
    static const struct {
        float p;
        unsigned mask;
    } cases[] = {{0.0f, 1}, {0.49f, 1}, {0.51f, 3}, {0.74f, 3}, {0.76f, 7}, {0.87f, 7}, {0.88f, 15}, {1.0f, 15}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        link chain[] = {{L4_STEP_TOP_P, cases[i].p, 0}};
        CHECK_EQ(possible(chain, 1, logits, 4), cases[i].mask);
    }
    /* Exact border: four equal tokens, the mass before the third is 0.5 and not more than p. */
    static const float equal[] = {1.0f, 1.0f, 1.0f, 1.0f};
    static const link half[] = {{L4_STEP_TOP_P, 0.5f, 0}};
    CHECK_EQ(possible(half, 1, equal, 4), 7);
}

TEST(steps_work_in_their_order)
{
    float logits[4];
    static const double p[] = {0.4, 0.3, 0.2, 0.1};
    for (int i = 0; i < 4; i++)
        logits[i] = (float)log(p[i]);
    /* top-k 2 leaves 4/7 and 3/7: renormalised, 0.6 keeps both, 0.5 one; before top-k, 0.5 keeps two of four. */
    static const link k_p[] = {{L4_STEP_TOP_K, 0, 2}, {L4_STEP_TOP_P, 0.5f, 0}};
    static const link p_k[] = {{L4_STEP_TOP_P, 0.5f, 0}, {L4_STEP_TOP_K, 0, 2}};
    CHECK_EQ(possible(k_p, 2, logits, 4), 1);
    CHECK_EQ(possible(p_k, 2, logits, 4), 3);
    /* A low temperature before top-p sharpens what it sees; after it, it does not matter for who stays. */
    static const link t_p[] = {{L4_STEP_TEMPERATURE, 0.2f, 0}, {L4_STEP_TOP_P, 0.75f, 0}};
    static const link p_t[] = {{L4_STEP_TOP_P, 0.75f, 0}, {L4_STEP_TEMPERATURE, 100.0f, 0}};
    CHECK_EQ(possible(t_p, 2, logits, 4), 1);
    CHECK_EQ(possible(p_t, 2, logits, 4), 7);
    static const link m_t[] = {{L4_STEP_MIN_P, 0.6f, 0}, {L4_STEP_TEMPERATURE, 100.0f, 0}};
    static const link t_m[] = {{L4_STEP_TEMPERATURE, 100.0f, 0}, {L4_STEP_MIN_P, 0.6f, 0}};
    CHECK_EQ(possible(m_t, 2, logits, 4), 3);
    CHECK_EQ(possible(t_m, 2, logits, 4), 15);
    /* Temperatures multiply: 0.5 and 2 undo each other. */
    static const link plain[] = {{L4_STEP_TEMPERATURE, 1.0f, 0}},
                      undone[] = {{L4_STEP_TEMPERATURE, 0.5f, 0}, {L4_STEP_TEMPERATURE, 2.0f, 0}};
    llama4_sampler *a = make(3, plain, 1), *b = make(3, undone, 2);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(sample(a, logits, 4), sample(b, logits, 4));
    l4_sampler_destroy(a);
    l4_sampler_destroy(b);
}

TEST(min_p_borders)
{
    float logits[4];
    static const double p[] = {0.4, 0.4, 0.1, 0.1};
    for (int i = 0; i < 4; i++)
        logits[i] = (float)log(p[i]);
    static const link one[] = {{L4_STEP_MIN_P, 1.0f, 0}}, zero[] = {{L4_STEP_MIN_P, 0.0f, 0}},
                      quarter[] = {{L4_STEP_MIN_P, 0.24f, 0}}, above[] = {{L4_STEP_MIN_P, 0.26f, 0}};
    CHECK_EQ(possible(one, 1, logits, 4), 3); /* equals of the most likely stay */
    CHECK_EQ(possible(zero, 1, logits, 4), 15);
    CHECK_EQ(possible(quarter, 1, logits, 4), 15);
    CHECK_EQ(possible(above, 1, logits, 4), 3);
}

TEST(top_k_agrees_with_a_sort)
{
    float *logits = make_logits(1000, 5);
    for (size_t i = 0; i < 1000; i++)
        logits[i] = roundf(logits[i] * 4.0f) / 4.0f; /* many ties */
    for (int32_t k = 1; k <= 1100; k = k * 3 / 2 + 1) {
        /* Which ids must stay: those with fewer than k tokens before them. */
        link chain[] = {{L4_STEP_TOP_K, 0, k}, {L4_STEP_TEMPERATURE, 1000.0f, 0}};
        llama4_sampler *s = make((uint64_t)k, chain, 2);
        for (int draw = 0; draw < 300; draw++) {
            int32_t token = sample(s, logits, 1000), ahead = 0;
            for (int32_t i = 0; i < 1000; i++)
                ahead += logits[i] > logits[token] || (logits[i] == logits[token] && i < token);
            CHECK(ahead < k);
        }
        l4_sampler_destroy(s);
    }
    free(logits);
}

/* The slow and plain way: probabilities, a full sort, Meta's rule. */
static const double *sort_key;
static int by_weight(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    if (sort_key[x] != sort_key[y])
        return sort_key[x] < sort_key[y] ? 1 : -1;
    return x < y ? -1 : 1;
}

TEST(top_p_agrees_with_a_sort)
{
    enum { N = 400 };
    static double w[N];
    static int32_t order[N];
    static unsigned char stays[N];
    static const float ps[] = {0.05f, 0.3f, 0.7f, 0.9f, 0.99f, 0.9999f};
    float *logits = make_logits(N, 9);
    for (size_t c = 0; c < sizeof ps / sizeof *ps; c++) {
        double total = 0.0, before = 0.0;
        for (int32_t i = 0; i < N; i++) {
            w[i] = exp((double)logits[i] / 4.0);
            total += w[i];
            order[i] = i;
        }
        sort_key = w;
        qsort(order, N, sizeof *order, by_weight);
        int kept = 0;
        for (int i = 0; i < N; i++) {
            stays[order[i]] = before <= (double)ps[c] * total;
            kept += stays[order[i]];
            before += w[order[i]];
        }
        /* A huge temperature afterwards makes those that stay equally likely: draws reach all of them and no other. */
        link chain[] = {{L4_STEP_TEMPERATURE, 4.0f, 0}, {L4_STEP_TOP_P, ps[c], 0}, {L4_STEP_TEMPERATURE, 1e30f, 0}};
        llama4_sampler *s = make(c, chain, 3);
        int seen = 0, draws = kept * 20;
        for (int i = 0; i < draws; i++) {
            int32_t token = sample(s, logits, N);
            CHECK(stays[token]);
            seen += stays[token] == 1;
            stays[token] |= 2;
        }
        CHECK_EQ(seen, kept); /* e^-20 of them missed on average */
        l4_sampler_destroy(s);
    }
    free(logits);
}

TEST(impossible_logits)
{
    static const float none[] = {NAN, -INFINITY, NAN}, one[] = {NAN, -INFINITY, -1e30f, -INFINITY},
                       infinite[] = {0.0f, INFINITY, NAN, INFINITY}, extremes[] = {-3.4e38f, 3.4e38f, -3.4e38f};
    static const link chains[][2] = {{{L4_STEP_TEMPERATURE, 0.7f, 0}, {L4_STEP_TOP_P, 0.9f, 0}},
                                     {{L4_STEP_TOP_K, 0, 2}, {L4_STEP_MIN_P, 0.1f, 0}},
                                     {{L4_STEP_GREEDY, 0, 0}, {L4_STEP_TOP_K, 0, 0}},
                                     {{L4_STEP_TEMPERATURE, 1e-40f, 0}, {L4_STEP_TOP_P, 0.99f, 0}}};
    for (size_t c = 0; c < 4; c++) {
        llama4_error error = LLAMA4_ERROR_INIT;
        int32_t token = 77;
        llama4_sampler *s = make(1, chains[c], 2);
        CHECK_EQ(l4_sampler_sample(s, none, 3, &token, &error), LLAMA4_ERR_ARGUMENT);
        CHECK(error.message[0] != 0);
        CHECK_EQ(l4_sampler_sample(s, none, 0, &token, NULL), LLAMA4_ERR_ARGUMENT);
        CHECK_EQ(token, 77);
        CHECK_EQ(sample(s, one, 4), 2);
        CHECK_EQ(sample(s, infinite, 4), 1);
        CHECK_EQ(sample(s, extremes, 3), 1);
        l4_sampler_destroy(s);
    }
    int32_t token = 77;
    CHECK_EQ(l4_sample_greedy(none, 3, &token, NULL), LLAMA4_ERR_ARGUMENT);
    CHECK_EQ(token, 77);
}

TEST(extreme_temperatures)
{
    static const float logits[] = {1.0f, 2.0f, 2.0f, -INFINITY};
    link cold[12], hot[12];
    for (size_t i = 0; i < 12; i++) {
        cold[i] = (link){L4_STEP_TEMPERATURE, 1e-38f, 0}; /* the product is far below what double holds */
        hot[i] = (link){L4_STEP_TEMPERATURE, 1e38f, 0};
    }
    CHECK_EQ(possible(cold, 12, logits, 4), 6); /* equals share */
    CHECK_EQ(possible(hot, 12, logits, 4), 7);
    link hot_min[] = {{L4_STEP_TEMPERATURE, 3.4e38f, 0}, {L4_STEP_MIN_P, 1.0f, 0}};
    CHECK_EQ(possible(hot_min, 2, logits, 4), 6);
}

TEST(k_beyond_n_keeps_all)
{
    static const float logits[] = {1.0f, 1.0f, 1.0f, NAN};
    static const link beyond[] = {{L4_STEP_TOP_K, 0, INT32_MAX}}, zero[] = {{L4_STEP_TOP_K, 0, 0}},
                      three[] = {{L4_STEP_TOP_K, 0, 3}};
    CHECK_EQ(possible(beyond, 1, logits, 4), 7);
    CHECK_EQ(possible(zero, 1, logits, 4), 7);
    CHECK_EQ(possible(three, 1, logits, 4), 7);
}

/* An allocator that fails at the n-th request and counts what is out. */
typedef struct failing {
    int left, out;
} failing;

static void *fail_allocate(void *user, size_t size, size_t alignment)
{
    failing *f = user;
    void *memory = f->left-- > 0 ? l4_system_allocator.allocate(NULL, size, alignment) : NULL;
    f->out += memory != NULL;
    return memory;
}

static void fail_release(void *user, void *memory)
{
    ((failing *)user)->out--;
    l4_system_allocator.release(NULL, memory);
}

TEST(failing_memory)
{
    float *logits = make_logits(5000, 2);
    int32_t want = -1;
    int done = 0;
    for (int n = 100; !done || n == 100; n = n == 100 ? 0 : n + 1) {
        failing f = {n, 0};
        l4_allocator a = {fail_allocate, fail_release, &f};
        llama4_sampler *s = NULL;
        int32_t token = -1;
        llama4_error error = LLAMA4_ERROR_INIT;
        llama4_status status = l4_sampler_create(&a, NULL, 11, &s, &error);
        if (status == LLAMA4_OK)
            status = l4_sampler_add(s, L4_STEP_TOP_K, 0, 400, &error);
        if (status == LLAMA4_OK)
            status = l4_sampler_add(s, L4_STEP_TOP_P, 0.99f, 0, &error);
        if (status == LLAMA4_OK)
            status = l4_sampler_sample(s, logits, 5000, &token, &error);
        if (n == 100)
            want = token;
        if (status == LLAMA4_OK) {
            done |= n != 100;
            CHECK_EQ(token, want);
        } else {
            CHECK_EQ(status, LLAMA4_ERR_MEMORY);
            CHECK_EQ(token, -1);
            f.left = 100;
            if (s && l4_sampler_sample(s, logits, 5000, &token, NULL) == LLAMA4_OK && n >= 4)
                CHECK_EQ(token, want); /* a failed call takes no random number */
        }
        l4_sampler_destroy(s);
        CHECK_EQ(f.out, 0);
    }
    CHECK(want >= 0);
    free(logits);
}

TEST(large_vocabulary)
{
    float *logits = make_logits(MANY, 3);
    static const link chain[] = {{L4_STEP_TEMPERATURE, 0.6f, 0}, {L4_STEP_TOP_K, 0, 50000}, {L4_STEP_TOP_P, 0.9f, 0}};
    static const int32_t golden[] = {193328, 129681, 112707, 162643, 104975, 182016, 73897, 3921};
    llama4_sampler *s = make(1234567890123456789u, chain, 3);
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++)
        CHECK_EQ(sample(s, logits, MANY), golden[i]);
    l4_sampler_destroy(s);
    free(logits);
}

TEST_MAIN(T(random_numbers_are_xoshiro256starstar), T(golden_sequences), T(greedy_takes_the_lowest_of_equals),
          T(draws_follow_the_probabilities), T(top_p_counts_the_mass_before), T(steps_work_in_their_order), T(min_p_borders),
          T(top_k_agrees_with_a_sort), T(top_p_agrees_with_a_sort), T(impossible_logits), T(extreme_temperatures),
          T(k_beyond_n_keeps_all), T(failing_memory), T(large_vocabulary))
