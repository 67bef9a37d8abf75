/* What the unit tests share: an allocator that counts, guards and fails on demand; opening models; decoding a row of ids. */
#ifndef LLAMA4_TESTS_SUPPORT_H
#define LLAMA4_TESTS_SUPPORT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "llama4/llama4.h"

#define SCOUT LLAMA4_TESTS "/golden/scout/model"         /* 5 layers, every one a mixture, chunks of 16 */
#define MAVERICK LLAMA4_TESTS "/golden/maverick/model"   /* 4 layers, every second one a mixture, chunks of 12 */
#define DENSE LLAMA4_TESTS "/golden/dense/model"         /* 5 layers, chunks of 8, rotary positions in all of them */
#define LONG LLAMA4_TESTS "/golden/gguf/scout_long.gguf" /* no vocabulary, chunks of 8192 */
#define VISION LLAMA4_TESTS "/golden/vision/model"       /* 4 layers, with a picture encoder: tiles of 56 pixels, 4 embeddings each, at most 4 */
#define TINY LLAMA4_TINY                                 /* the model that ships: Q8_0, with a vocabulary */

/* Counts what is asked for and given back, surrounds it with guard bytes, and fails from the fail_at-th call on (1: the first) for
 * fail_count calls; 0: never. */
typedef struct counting {
    size_t calls, live, live_bytes, peak_bytes;
    size_t fail_at, fail_count, failed;
    size_t damaged; /* guards overwritten, memory given back twice or never given out, wrong arguments, wrong thread */
    uintptr_t thread; /* of the first call */
} counting;

void *counting_allocate(void *user, size_t size, size_t alignment);
void counting_release(void *user, void *memory);
llama4_model_params counting_params(counting *c);

/* NULL, and a message on stdout, if it cannot be opened. params may be NULL. */
llama4_model *open_model(const char *path, const llama4_model_params *params);
llama4_model_info model_info(const llama4_model *model);
llama4_context *open_context(llama4_model *model, int32_t threads, int32_t kv_type);

/* n ids that any model of the tests knows: the same ones for the same seed. */
void make_ids(int32_t *ids, size_t n, uint32_t seed, int32_t below);

/* Appends ids to a sequence, `step` at a time (0: all at once); rows, unless NULL, gets the logits of each. */
llama4_status decode_ids(llama4_context *context, int32_t sequence, const int32_t *ids, size_t n, size_t step, float *rows, size_t vocabulary,
                         llama4_error *error);

/* Whole file, to be freed with free; NULL if it cannot be read. */
unsigned char *load_file(const char *path, size_t *size);
/* Writes a file; 0 on success. */
int save_file(const char *path, const void *data, size_t size);

/* Makes the working directory a new folder of this process's own; goes back and removes it, which fails if there is something left in it. 0 on success. On
 * Windows they do nothing. */
int enter_own_folder(void);
int leave_own_folder(void);

/* An entry of an importance matrix in the older form; before the first one stands their number, in 32 bits. 0 on success. */
int write_imatrix_entry(FILE *f, const char *name, const float *values, int32_t n);

/* The same stream of numbers everywhere. */
uint32_t next_random(uint64_t *state);

#endif
