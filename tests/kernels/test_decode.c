/* Every stored type against the values that the PyPI package gguf gives (data/blocks.bin, written by make_blocks.py), bit for bit, on every
 * instruction set that runs here; and the dot product of a stored row against that of the decoded one. Ends with "N passed, N failed, N skipped". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/half.h"
#include "format/types.h"
#include "kernels/decode.h"
#include "kernels/iq_tables.h"
#include "kernels/kernels.h"
#include "kernels_of.h"
#include "llama4/llama4.h"

enum { MAX_BLOCK = 256, MAX_BYTES = 256, ROW = 3 /* blocks */, GUARD = 16 };

typedef struct record {
    uint32_t type, elements, bytes, listed, hashed;
    uint64_t hash;
    const uint8_t *data, *expected;
} record;

static int passed, failed, skipped;

static void report(const char *what, const char *type, const char *level, int fine)
{
    printf("%s %s %s %s\n", fine ? "ok" : "FAILED", level, what, type);
    fine ? passed++ : failed++;
}

static uint64_t mix(uint64_t x)
{
    x = x * 0x9e3779b97f4a7c15u + 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Byte i of the noise that make_blocks.py draws for the hashed records of a type. */
static uint8_t noise(uint32_t type, uint64_t i)
{
    return (uint8_t)(mix(i / 8 + ((uint64_t)(type << 8 | 255) << 40)) >> i % 8 * 8);
}

static uint32_t bits_of(float f)
{
    return f != f ? 0x7fc00000 : l4_f32_bits(f);
}

/* Writes n elements between guards, 0 .. 3 floats from an alignment of 16; 1 if nothing else was written. */
static int decode(const l4_kernels *k, const record *r, const uint8_t *from, size_t n, size_t shift, float *out)
{
    static float memory[GUARD + ROW * MAX_BLOCK + GUARD + 4];
    float *to = memory + GUARD + shift;
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        memory[i] = l4_bits_f32(0x12345678);
    k->decode[r->type](from, n, to);
    memcpy(out, to, n * sizeof *out);
    for (float *p = memory; p < memory + sizeof memory / sizeof *memory; p++)
        if ((p < to || p >= to + n) && l4_f32_bits(*p) != 0x12345678)
            return 0;
    return 1;
}

static int listed_match(const l4_kernels *k, const record *r)
{
    int fine = 1;
    for (uint32_t i = 0; i < r->listed; i++)
        for (size_t shift = 0; shift < 4; shift++) {
            float out[MAX_BLOCK];
            uint8_t *copy = malloc(r->bytes + shift); /* of its own, so that a sanitizer sees a read beyond the block */
            if (!copy)
                return 0;
            memcpy(copy + shift, r->data + (size_t)i * r->bytes, r->bytes);
            fine &= decode(k, r, copy + shift, r->elements, shift, out);
            for (uint32_t j = 0; j < r->elements; j++)
                fine &= bits_of(out[j]) == l4_load_u32(r->expected + ((size_t)i * r->elements + j) * 4);
            free(copy);
        }
    return fine;
}

static int hash_matches(const l4_kernels *k, const record *r)
{
    uint64_t sum = 0, n = 0, at = 0;
    for (uint32_t i = 0; i < r->hashed; i++) {
        uint8_t data[MAX_BYTES];
        float out[MAX_BLOCK];
        for (uint32_t j = 0; j < r->bytes; j++)
            data[j] = noise(r->type, at++);
        k->decode[r->type](data, r->elements, out);
        for (uint32_t j = 0; j < r->elements; j++)
            sum += mix(bits_of(out[j]) | n++ << 32);
    }
    return sum == r->hash;
}

/* Rows of several blocks: decoded like single ones, and dot = dot and tile of the decoded row. Not all of the sums may be infinite or NaN. */
static int dot_matches(const l4_kernels *k, const record *r)
{
    static float x[ROW * MAX_BLOCK], w[ROW * MAX_BLOCK];
    int fine = 1, numbers = 0;
    for (uint64_t round = 0; round < 200; round++) {
        uint8_t data[3 + ROW * MAX_BYTES], *row = data + round % 4;
        uint64_t size = (uint64_t)ROW * r->bytes, n = (uint64_t)ROW * r->elements;
        for (uint64_t i = 0; i < size; i++)
            row[i] = noise(r->type, round * size + i);
        for (uint64_t i = 0; i < n; i++)
            x[i] = (float)(int)(mix(round * n + i) % 2001) * 1e-3f - 1.0f;
        fine &= decode(k, r, row, n, round % 3, w);
        for (uint64_t b = 0; b < ROW; b++) {
            float one[MAX_BLOCK];
            k->decode[r->type](row + b * r->bytes, r->elements, one);
            for (uint32_t j = 0; j < r->elements; j++)
                fine &= bits_of(one[j]) == bits_of(w[b * r->elements + j]);
        }
        float direct = k->dot[r->type](row, x, n), decoded = k->dot[LLAMA4_TYPE_F32]((const uint8_t *)w, x, n), tiled;
        k->tile(w, n, 1, x, n, 1, n, &tiled, 1);
        fine &= bits_of(direct) == bits_of(decoded) && bits_of(direct) == bits_of(tiled);
        numbers += direct - direct == 0 && (direct > 0 || direct < 0);
    }
    return fine && numbers >= 3;
}

static void check_type(const l4_kernels *k, const record *r, const char *level)
{
    const l4_type_info *info = l4_type_find(r->type);
    const char *name = info ? info->name : "of unknown number";
    int known = info && l4_kernels_can(r->type) && r->type < L4_TYPE_SLOTS && k->decode[r->type] && k->dot[r->type] && r->elements <= MAX_BLOCK &&
                r->bytes <= MAX_BYTES && l4_type_row_bytes(info, r->elements) == r->bytes;
    report("slots of", name, level, known);
    if (!known)
        return;
    report("listed blocks of", name, level, listed_match(k, r));
    report("hashed blocks of", name, level, hash_matches(k, r));
    report("dot of", name, level, dot_matches(k, r));
}

/* The list in decode.h against that in format/types.c, and against the records: none may be without. */
static void check_list(const record *records, uint32_t n)
{
#define ENTRY(type, slot, name, block, bytes) {type, name, block, bytes},
    static const l4_type_info list[] = {L4_BLOCK_TYPES(ENTRY)};
#undef ENTRY
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        const l4_type_info *info = l4_type_find(list[i].type), *l = &list[i];
        int fine = info && strcmp(info->name, l->name) == 0 && info->block == l->block && info->block_bytes == l->block_bytes, found = 0;
        for (uint32_t j = 0; j < n; j++)
            found |= records[j].type == l->type;
        fine = fine && found && l4_type_row_bytes(info, l->block + 1) == 0 && l4_type_row_bytes(info, l->block - 1) == 0;
        report("entry of", l->name, "list", fine);
    }
    int refused = 1;
    for (uint32_t type = 0; type < 2000; type++) {
        int can = type == LLAMA4_TYPE_F32;
        for (uint32_t j = 0; j < n; j++)
            can |= records[j].type == type;
        refused &= l4_kernels_can(type) == can;
    }
    report("l4_kernels_can", "of all numbers", "list", refused);
}

/* Number of records; 0 if the file is not what it should be. */
static uint32_t parse(const uint8_t *data, size_t size, record *out, uint32_t max)
{
    l4_reader in = {data, size, 0, 0};
    const uint8_t *magic = l4_read_bytes(&in, 8);
    uint32_t n = l4_read_u32(&in);
    if (!magic || memcmp(magic, "L4BLOCKS", 8) != 0 || n > max)
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        record *r = &out[i];
        r->type = l4_read_u32(&in), r->elements = l4_read_u32(&in), r->bytes = l4_read_u32(&in);
        r->listed = l4_read_u32(&in), r->hashed = l4_read_u32(&in), r->hash = l4_read_u64(&in);
        r->data = l4_read_bytes(&in, (uint64_t)r->listed * r->bytes);
        r->expected = l4_read_bytes(&in, (uint64_t)r->listed * r->elements * 4);
    }
    return in.failed || in.position != size ? 0 : n;
}

/* All forms of a grid name the same magnitudes: codes of `bits` bits, `each` to a byte, are numbers in the list of them. One has no whole codes. */
static void check_codes(const char *type, const uint8_t *entries, size_t length, const uint16_t *codes, const uint8_t *halves, size_t n, const uint8_t *magnitudes,
                        unsigned bits, unsigned each)
{
    int same = 1;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < length; k++) {
            const unsigned shift = k % each * bits, mask = (1u << bits) - 1;
            same &= entries[i * length + k] == magnitudes[halves[k / each * n + i] >> shift & mask];
            same &= !codes || entries[i * length + k] == magnitudes[codes[i] >> k / each * 8 >> shift & mask];
        }
    report("codes", type, "tables", same);
}

/* The eighth of eight signs makes the number of those that are set even. */
static void check_even_signs(void)
{
    int same = 1;
    for (int i = 0; i < 128; i++) {
        int set = 0;
        for (int k = 0; k < 7; k++)
            set += i >> k & 1;
        same &= l4_even_signs[i] == (i | set % 2 << 7);
    }
    report("signs", "iq2_xxs", "tables", same);
}

static void check_all_codes(void)
{
    static const uint8_t two[4] = {8, 25, 43, 0}, ternary[4] = {0, 8, 16, 255}, three[8] = {4, 12, 20, 28, 36, 44, 52, 62}, odd[8] = {1, 3, 5, 7, 9, 11, 13, 15};
    check_codes("iq2_xxs", l4_iq2_xxs_grid[0], 8, l4_iq2_xxs_codes, l4_iq2_xxs_halves[0], 256, two, 2, 4);
    check_codes("iq2_xs", l4_iq2_xs_grid[0], 8, l4_iq2_xs_codes, l4_iq2_xs_halves[0], 512, two, 2, 4);
    check_codes("iq2_s", l4_iq2_s_grid[0], 8, l4_iq2_s_codes, l4_iq2_s_halves[0], 1024, two, 2, 4);
    check_codes("iq3_xxs", l4_iq3_xxs_grid[0], 4, l4_iq3_xxs_codes, l4_iq3_xxs_halves[0], 256, three, 3, 2);
    check_codes("iq3_s", l4_iq3_s_grid[0], 4, l4_iq3_s_codes, l4_iq3_s_halves[0], 512, odd, 3, 2);
    check_codes("iq1", l4_iq1_grid[0], 8, NULL, l4_iq1_halves[0], 2048, ternary, 2, 4);
    check_even_signs();
}

/* The scales of tiles of MXFP4, which all instruction sets compute alike, against the table. */
static void check_mxfp4_scales(const l4_kernels *k, const char *level)
{
    uint8_t panel[L4_PANEL * 17] = {0};
    l4_tile tile;
    int same = 1;
    for (int first = 0; first < 256; first += L4_PANEL) {
        for (int r = 0; r < L4_PANEL; r++)
            panel[r] = (uint8_t)(first + r);
        k->unpack[L4_MXFP4](panel, 1, &tile);
        for (int r = 0; r < L4_PANEL; r++)
            same &= l4_f32_bits(tile.scale[r]) == l4_mxfp4_scales[first + r];
    }
    report("scales", "mxfp4", level, same);
}

int main(void)
{
    static uint8_t data[1 << 19];
    static record records[L4_TYPE_SLOTS];
    l4_kernels k;
    FILE *file = fopen(LLAMA4_TESTS "/data/blocks.bin", "rb");
    size_t size = file ? fread(data, 1, sizeof data, file) : 0;
    if (file)
        fclose(file);
    uint32_t n = parse(data, size, records, L4_TYPE_SLOTS);
    report("data/blocks.bin", "", "file", n > 0);
    check_list(records, n);
    check_all_codes();
    for (int l = 0; l < INSTRUCTION_SET_COUNT; l++) {
        if (!kernels_of(l, &k)) {
            skipped++;
            continue;
        }
        for (uint32_t i = 0; i < n; i++)
            check_type(&k, &records[i], instruction_sets[l].name);
        check_mxfp4_scales(&k, instruction_sets[l].name);
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0 || passed == 0;
}
