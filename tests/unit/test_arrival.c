/* Matrices on their way into memory: the first so many pieces bring the first so many rows, and no fewer do. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "format/types.h"
#include "kernels/packed.h"
#include "model/disk.h"
#include "support.h"

#define MARK 0xB7
#define LEAD 13 /* bytes before the first matrix: any alignment is fine */

/* Gate, up and down of an expert, in memory that stands for a file. */
typedef struct scene {
    l4_matrix from[3], view[3];
    l4_mapping file;
    l4_archive archive;
    l4_load load;
    uint8_t *bytes, *memory, *whole, *buffer;
} scene;

static void scene_close(scene *s)
{
    free(s->bytes);
    free(s->memory);
    free(s->whole);
    free(s->buffer);
}

/* shared: gate and up lie side by side in common rows. */
static int scene_open(scene *s, uint32_t type, uint32_t layout, int shared)
{
    static const uint32_t rows[] = {1000, 1000, 400}, cols[] = {1024, 1024, 2048};
    uint64_t offset[3], at = LEAD, state = 5;
    llama4_error error = LLAMA4_ERROR_INIT;
    memset(s, 0, sizeof *s);
    for (int i = 0; i < 3; i++) {
        const int columns = layout == L4_COLUMNS, beside = shared && i < 2;
        const uint64_t line = l4_type_row_bytes(l4_type_find(type), columns ? rows[i] : cols[i]), lines = columns ? cols[i] : rows[i];
        s->from[i] = (l4_matrix){NULL, beside ? 2 * line : line, rows[i], cols[i], type, layout};
        offset[i] = beside && i == 1 ? LEAD + line : at;
        at = offset[i] + (lines - 1) * s->from[i].stride + line;
    }
    s->bytes = malloc((size_t)at);
    for (uint64_t i = 0; i < at; i++)
        s->bytes[i] = (uint8_t)(next_random(&state) >> 8);
    s->file = (l4_mapping){.data = s->bytes, .size = (size_t)at};
    s->archive = (l4_archive){.files = &s->file, .n_files = 1};
    for (int i = 0; i < 3; i++) {
        s->from[i].data = s->bytes + offset[i];
        if (!CHECK_STATUS(l4_load_add(&s->load, &s->archive, &s->from[i], &error), LLAMA4_OK, error))
            return 0;
    }
    s->memory = malloc((size_t)s->load.bytes);
    s->whole = malloc((size_t)s->load.bytes);
    s->buffer = malloc(l4_load_buffer(&s->load));
    for (int i = 0; i < 3; i++)
        s->view[i] = l4_load_matrix(&s->load, &s->from[i], s->memory);
    return 1;
}

static void bring(scene *s, uint32_t first, uint32_t last)
{
    l4_input input;
    uint64_t read = 0;
    llama4_error error = LLAMA4_ERROR_INIT;
    l4_input_open(&s->file, 0, &input);
    for (uint32_t i = first; i < last; i++)
        CHECK_STATUS(l4_load_piece(&s->load, &input, i, s->memory, s->buffer, &read, &error), LLAMA4_OK, error);
    l4_input_close(&input);
}

/* The first rows are what they are once everything has come. */
static int has_come(const scene *s, int i, size_t rows)
{
    const l4_matrix *m = &s->view[i];
    const size_t at = (size_t)(m->data - s->memory);
    int same = 1;
    if (m->layout == L4_PACKED)
        return memcmp(m->data, s->whole + at, (rows + L4_PANEL - 1) / L4_PANEL * m->stride) == 0;
    const size_t lines = m->layout == L4_COLUMNS ? m->cols : rows, line = m->layout == L4_COLUMNS ? m->rows : m->cols;
    for (size_t r = 0; r < lines; r++)
        same &= memcmp(m->data + r * m->stride, s->whole + at + r * m->stride, l4_type_row_bytes(l4_type_find(m->type), line)) == 0;
    return same;
}

static void check_reach(uint32_t type, uint32_t layout, int shared)
{
    scene s;
    uint32_t come = 0;
    if (scene_open(&s, type, layout, shared)) {
        bring(&s, 0, s.load.pieces);
        memcpy(s.whole, s.memory, (size_t)s.load.bytes);
        memset(s.memory, MARK, (size_t)s.load.bytes);
        CHECK(s.load.pieces > 6);
        for (int i = 0; i < 3; i++)
            for (size_t rows = 1; rows <= s.from[i].rows; rows++) {
                const uint32_t reach = l4_load_reach(&s.load, s.memory, &s.view[i], rows);
                if (reach <= come)
                    continue;
                CHECK(reach <= s.load.pieces && !has_come(&s, i, rows));
                CHECK(rows == 1 || has_come(&s, i, rows - 1));
                if (reach > come + 1) { /* not one fewer */
                    bring(&s, come, reach - 1);
                    CHECK(!has_come(&s, i, rows));
                    come = reach - 1;
                }
                bring(&s, come, reach);
                come = reach;
                CHECK(has_come(&s, i, rows));
            }
        CHECK_EQ(come, s.load.pieces);
        for (int i = 0; i < 3; i++)
            CHECK(has_come(&s, i, s.from[i].rows));
    }
    scene_close(&s);
}

TEST(rows_and_pieces)
{
    check_reach(L4_Q8_0, L4_ROWS, 0);
    check_reach(LLAMA4_TYPE_F32, L4_ROWS, 0);
    check_reach(LLAMA4_TYPE_F32, L4_ROWS, 1);
    check_reach(LLAMA4_TYPE_BF16, L4_COLUMNS, 0);
    check_reach(LLAMA4_TYPE_F32, L4_COLUMNS, 1);
}

static l4_disk *disk_of(const scene *s)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    const l4_disk_how how = {L4_DISK_THREADS, l4_load_buffer(&s->load), 1, 0};
    l4_disk *disk = NULL;
    CHECK_STATUS(l4_disk_create(&l4_system_allocator, &s->archive, &how, &disk, &error), LLAMA4_OK, error);
    return disk;
}

static void start(l4_disk *disk, l4_fetch *f)
{
    l4_disk_lock(disk);
    l4_disk_start(disk, f, L4_FETCH_URGENT);
    l4_disk_unlock(disk);
}

TEST(awaiting_rows)
{
    const atomic_int never = 0;
    scene s;
    l4_disk *disk = NULL;
    if (scene_open(&s, L4_Q8_0, L4_ROWS, 0) && (disk = disk_of(&s)) != NULL) {
        bring(&s, 0, s.load.pieces);
        memcpy(s.whole, s.memory, (size_t)s.load.bytes);
        for (int round = 0; round < 50; round++) {
            l4_fetch f = {.load = s.load, .memory = s.memory};
            memset(s.memory, MARK, (size_t)s.load.bytes);
            start(disk, &f);
            for (int i = 0; i < 3; i++)
                for (size_t rows = 1 + (size_t)round; rows <= s.from[i].rows; rows += 100) {
                    CHECK(l4_disk_await(disk, &f, l4_load_reach(&s.load, s.memory, &s.view[i], rows), &never));
                    CHECK(has_come(&s, i, rows));
                }
            CHECK(l4_disk_await(disk, &f, s.load.pieces, &never));
            l4_disk_lock(disk);
            CHECK_EQ(f.state, L4_FETCH_READY);
            l4_disk_unlock(disk);
        }
    }
    l4_disk_destroy(disk);
    scene_close(&s);
}

TEST(rows_that_never_come)
{
    const atomic_int never = 0, cancelled = 1;
    scene s;
    l4_disk *disk = NULL;
    if (scene_open(&s, L4_Q8_0, L4_ROWS, 0) && (disk = disk_of(&s)) != NULL) {
        l4_fetch f = {.load = s.load, .memory = s.memory};
        f.load.parts[2].offset++; /* beyond the end of the file */
        start(disk, &f);
        CHECK(!l4_disk_await(disk, &f, s.load.pieces, &never));
        l4_disk_lock(disk);
        CHECK_EQ(f.error.status, LLAMA4_ERR_IO);
        l4_disk_unlock(disk);

        l4_fetch late = {.load = s.load, .memory = s.memory, .state = L4_FETCH_QUEUED}; /* in nobody's queue */
        CHECK(!l4_disk_await(disk, &late, 1, &cancelled));
    }
    l4_disk_destroy(disk);
    scene_close(&s);
}

TEST_MAIN(T(rows_and_pieces), T(awaiting_rows), T(rows_that_never_come))
