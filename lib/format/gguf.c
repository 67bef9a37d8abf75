/* Reading GGUF: a mapped file in; a list of keys, and an archive of tensors whose places in the file have been checked, out. Keys are views into
 * the file. Layout: magic, version, counts, keys, tensor descriptions, padding, data. gguf_keys.c reads single keys. */
#include "format/gguf.h"

#include <string.h>

#include "format/gguf_private.h"
#include "format/names.h"
#include "format/types.h"

#define MAX_KEY_LENGTH 65535
#define MAX_TENSOR_NAME 255
#define MAX_ALIGNMENT 65536
#define SMALLEST_KEY 13    /* length, one letter, type, one byte */
#define SMALLEST_TENSOR 33 /* length, one letter, one dim, type, offset */

/* One file on its way in. */
typedef struct part {
    l4_reader r;
    const char *name;     /* for messages */
    uint64_t n_tensors, n_keys;
    l4_gguf_keys keys;
    uint64_t alignment;
    int64_t number, count, total; /* split.no, split.count, split.tensors.count; -1: absent */
    l4_listing *listing;  /* or NULL */
} part;

static llama4_status truncated(const part *p, const char *what, llama4_error *error)
{
    return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the file ends inside %s (byte %zu of %zu)", p->name, what, p->r.position, p->r.size);
}

/* ---- Header and keys ---- */

static llama4_status read_header(part *p, uint32_t *version, llama4_error *error)
{
    const uint8_t *magic = l4_read_bytes(&p->r, 4);
    if (!magic || memcmp(magic, "GGUF", 4) != 0)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s is not a GGUF file", p->name);
    *version = l4_read_u32(&p->r);
    if (*version && (*version & 0xffff) == 0)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s is a big-endian GGUF file; only little-endian files can be read", p->name);
    if (!p->r.failed && (*version < 2 || *version > 3))
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s has GGUF version %u; versions 2 and 3 can be read", p->name, (unsigned)*version);
    p->n_tensors = l4_read_u64(&p->r);
    p->n_keys = l4_read_u64(&p->r);
    if (p->r.failed)
        return truncated(p, "its header", error);
    size_t left = p->r.size - p->r.position;
    if (p->n_keys > left / SMALLEST_KEY)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %llu keys cannot fit into %zu bytes", p->name, (unsigned long long)p->n_keys, left);
    if (p->n_tensors > left / SMALLEST_TENSOR)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %llu tensors cannot fit into %zu bytes", p->name, (unsigned long long)p->n_tensors, left);
    return LLAMA4_OK;
}

/* Moves over `count` strings. The loop runs a million times in files with large vocabularies. */
static int skip_strings(l4_reader *r, uint64_t count)
{
    const uint8_t *p = r->data + r->position;
    size_t left = r->size - r->position;
    if (count > left / 8)
        return 0;
    for (; count; count--) {
        if (left < 8)
            return 0;
        uint64_t length = l4_load_u64(p);
        if (length > left - 8)
            return 0;
        p += 8 + (size_t)length;
        left -= 8 + (size_t)length;
    }
    r->position = r->size - left;
    return 1;
}

/* Finds where the value of a key ends; 0 if it runs past the file. */
static int read_value(l4_reader *r, l4_gguf_key *k)
{
    size_t start;
    if (k->type == L4_GGUF_ARRAY) {
        k->element_type = l4_read_u32(r);
        k->count = l4_read_u64(r);
    }
    if (r->failed)
        return 0;
    start = r->position;
    uint32_t element = k->type == L4_GGUF_ARRAY ? k->element_type : k->type;
    uint64_t count = k->type == L4_GGUF_ARRAY ? k->count : 1;
    if (element == L4_GGUF_STRING) {
        if (!skip_strings(r, count))
            return 0;
    } else {
        uint64_t size = l4_gguf_scalar_size(element); /* 0 for types that the caller refuses */
        if (size && (count > (r->size - start) / size || !l4_read_bytes(r, count * size)))
            return 0;
    }
    k->data = r->data + start;
    k->size = r->position - start;
    return 1;
}

static llama4_status read_key(part *p, l4_gguf_key *k, llama4_error *error)
{
    l4_reader *r = &p->r;
    uint64_t length = l4_read_u64(r);
    memset(k, 0, sizeof *k);
    if (!r->failed && (length == 0 || length > MAX_KEY_LENGTH))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: a key's name has %llu bytes (byte %zu)", p->name, (unsigned long long)length, r->position);
    k->name = (const char *)l4_read_bytes(r, length);
    k->name_length = (size_t)length;
    k->type = l4_read_u32(r);
    if (r->failed)
        return truncated(p, "the name of a key", error);
    int shown = L4_GGUF_SHOWN(k);
    if (!read_value(r, k))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the value of key %.*s runs past the end of the file", p->name, shown, k->name);
    if (k->type == L4_GGUF_ARRAY && k->element_type == L4_GGUF_ARRAY)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: key %.*s is an array of arrays", p->name, shown, k->name);
    uint32_t element = k->type == L4_GGUF_ARRAY ? k->element_type : k->type;
    if (element != L4_GGUF_STRING && l4_gguf_scalar_size(element) == 0)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: key %.*s has the unknown type %u", p->name, shown, k->name, (unsigned)element);
    return LLAMA4_OK;
}

static llama4_status read_keys(part *p, const l4_allocator *a, llama4_error *error)
{
    l4_gguf_keys *t = &p->keys;
    size_t capacity = 0;
    for (; t->n < p->n_keys; t->n++) {
        l4_gguf_key k;
        llama4_status status = read_key(p, &k, error);
        if (status == LLAMA4_OK && t->n == capacity)
            status = l4_grow(a, &t->keys, &capacity, t->n, t->n < 64 ? 64 : t->n + 1, sizeof *t->keys, "the list of keys", error);
        if (status)
            return status;
        t->keys[t->n] = k;
    }
    return l4_gguf_keys_index(t, a, p->name, error);
}

static llama4_status read_own_keys(part *p, llama4_error *error)
{
    int64_t alignment = 32;
    p->number = p->count = p->total = -1;
    llama4_status status = l4_gguf_keys_i64(&p->keys, p->name, "general.alignment", 1, MAX_ALIGNMENT, &alignment, error);
    if (status)
        return status;
    if (alignment & (alignment - 1))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: general.alignment is %lld, not a power of two", p->name, (long long)alignment);
    p->alignment = (uint64_t)alignment;
    status = l4_gguf_keys_i64(&p->keys, p->name, "split.no", 0, 99999, &p->number, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_keys_i64(&p->keys, p->name, "split.count", 0, 99999, &p->count, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_keys_i64(&p->keys, p->name, "split.tensors.count", 0, INT32_MAX, &p->total, error);
    return status;
}

/* ---- Tensors ---- */

/* Reads one description; the name is handed out apart. */
static llama4_status read_tensor(part *p, l4_tensor *t, const char **name, size_t *name_length, llama4_error *error)
{
    l4_reader *r = &p->r;
    uint64_t length = l4_read_u64(r);
    if (!r->failed && (length == 0 || length > MAX_TENSOR_NAME))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: a tensor's name has %llu bytes (byte %zu)", p->name, (unsigned long long)length, r->position);
    *name = (const char *)l4_read_bytes(r, length);
    *name_length = (size_t)length;
    t->n_dims = l4_read_u32(r);
    if (r->failed)
        return truncated(p, "the list of tensors", error);
    int shown = (int)(length < 100 ? length : 100);
    if (memchr(*name, 0, (size_t)length))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: tensor %.*s has a zero byte in its name", p->name, shown, *name);
    if (t->n_dims < 1 || t->n_dims > 4)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: tensor %.*s has %u dimensions", p->name, shown, *name, (unsigned)t->n_dims);
    uint64_t product = 1;
    for (uint32_t i = 0; i < 4; i++) {
        t->dims[i] = i < t->n_dims ? l4_read_u64(r) : 1;
        if (!r->failed && (t->dims[i] == 0 || t->dims[i] > INT64_MAX / product))
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: tensor %.*s has an impossible shape", p->name, shown, *name);
        product *= r->failed ? 1 : t->dims[i];
    }
    t->type = l4_read_u32(r);
    t->offset = l4_read_u64(r);
    if (r->failed)
        return truncated(p, "the list of tensors", error);
    const l4_type_info *info = t->type < 1000 ? l4_type_find(t->type) : NULL;
    if (!info)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: tensor %.*s has the unknown type %u", p->name, shown, *name, (unsigned)t->type);
    uint64_t row = l4_type_row_bytes(info, t->dims[0]), rows = product / t->dims[0];
    if (row == 0)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: tensor %.*s: rows of %llu are no multiple of %s's block of %u", p->name, shown, *name,
                       (unsigned long long)t->dims[0], info->name, (unsigned)info->block);
    if (rows > INT64_MAX / row)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: tensor %.*s has an impossible shape", p->name, shown, *name);
    t->size = row * rows;
    return LLAMA4_OK;
}

/* Checks where a tensor's data lie, and returns in *cut whether the file ends before them, which only matters to those who want data. */
static llama4_status place_tensor(const part *p, l4_tensor *t, uint64_t data_start, int *cut, llama4_error *error)
{
    uint64_t room = p->r.size > data_start ? p->r.size - data_start : 0;
    if (t->offset & (p->alignment - 1))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: tensor %.100s is not aligned to %u bytes", p->name, t->name, (unsigned)p->alignment);
    int outside = t->offset > room || t->size > room - t->offset;
    if (outside && (!p->listing || t->offset > INT64_MAX))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the data of tensor %.100s run past the end of the file", p->name, t->name);
    *cut |= outside;
    t->offset += data_start;
    t->data = outside ? NULL : p->r.data + t->offset;
    return LLAMA4_OK;
}

/* Walks the descriptions twice: to learn how long the names are, then to keep them. */
static llama4_status read_tensors(part *p, l4_archive *archive, llama4_error *error)
{
    size_t start = p->r.position, names = 0, length, first = archive->n_tensors;
    const char *name;
    l4_tensor t;
    memset(&t, 0, sizeof t);
    for (uint64_t i = 0; i < p->n_tensors; i++) {
        llama4_status status = read_tensor(p, &t, &name, &length, error);
        if (status)
            return status;
        names += length + 1;
    }
    llama4_status status = l4_archive_reserve(archive, (size_t)p->n_tensors, names, error);
    uint64_t data_start = ((uint64_t)p->r.position + p->alignment - 1) & ~(p->alignment - 1);
    p->r.position = start;
    t.file = (uint32_t)archive->n_files - 1;
    for (uint64_t i = 0; status == LLAMA4_OK && i < p->n_tensors; i++) {
        status = read_tensor(p, &t, &name, &length, error);
        if (status)
            break;
        l4_tensor *kept = l4_archive_add(archive, name, length);
        t.name = kept->name;
        *kept = t;
    }
    int cut = 0;
    for (size_t i = first; status == LLAMA4_OK && i < archive->n_tensors; i++)
        status = place_tensor(p, &archive->tensors[i], data_start, &cut, error);
    if (p->listing)
        p->listing->cut += (size_t)cut;
    return status;
}

/* ---- Whole files ---- */

static const char *base_name(const char *path)
{
    const char *base = path;
    for (const char *c = path; *c; c++)
        if ((*c == '/' || *c == '\\') && c[1])
            base = c + 1;
    return base;
}

/* Reads the last file of the archive up to its tensors. p->keys is the caller's to clear, always. */
static llama4_status begin_part(l4_gguf *g, part *p, const char *name, uint32_t *version, llama4_error *error)
{
    const l4_mapping *m = &g->archive.files[g->archive.n_files - 1];
    memset(p, 0, sizeof *p);
    p->name = name;
    p->listing = g->listing;
    p->r.data = m->data;
    p->r.size = m->size;
    llama4_status status = l4_gguf_own_head(m, name, error);
    if (status == LLAMA4_OK)
        status = read_header(p, version, error);
    if (status == LLAMA4_OK)
        status = read_keys(p, g->archive.allocator, error);
    return status ? status : read_own_keys(p, error);
}

static llama4_status create(const l4_allocator *a, const char *name, l4_gguf **out, llama4_error *error)
{
    l4_gguf *g;
    llama4_status status = l4_alloc_zero(a, 1, sizeof *g, "a GGUF file", &g, error);
    if (status)
        return status;
    g->archive.allocator = a;
    status = l4_copy_string(a, name, strlen(name), &g->name, error);
    if (status)
        l4_free(a, g);
    else
        *out = g;
    return status;
}

void l4_gguf_close(l4_gguf *g)
{
    if (!g)
        return;
    const l4_allocator *a = g->archive.allocator;
    l4_gguf_keys_clear(&g->keys, a);
    l4_archive_clear(&g->archive);
    l4_free(a, g->name);
    l4_free(a, g);
}

void l4_gguf_unmap(l4_gguf *g)
{
    l4_gguf_keys_clear(&g->keys, g->archive.allocator);
    l4_archive_unmap(&g->archive);
}

llama4_status l4_gguf_open_mapping(const l4_allocator *a, l4_mapping *mapping, const char *name, l4_gguf **out, llama4_error *error)
{
    l4_gguf *g;
    part p;
    llama4_status status = create(a, base_name(name), &g, error);
    if (status) {
        l4_unmap(mapping);
        return status;
    }
    status = l4_archive_add_file(&g->archive, mapping, error);
    if (status == LLAMA4_OK) {
        status = begin_part(g, &p, g->name, &g->version, error);
        g->keys = p.keys;
    }
    if (status == LLAMA4_OK && p.count > 1)
        status = l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s is one of %d parts of a model; open it by its path", g->name, (int)p.count);
    if (status == LLAMA4_OK)
        status = read_tensors(&p, &g->archive, error);
    if (status == LLAMA4_OK)
        status = l4_archive_seal(&g->archive, g->name, error);
    if (status)
        l4_gguf_close(g);
    else
        *out = g;
    return status;
}

static llama4_status map_file(l4_gguf *g, const char *path, llama4_error *error)
{
    l4_mapping mapping;
    llama4_status status = l4_map_path(path, &mapping, error);
    return status ? status : l4_archive_add_file(&g->archive, &mapping, error);
}

/* ---- Split models ---- */

/* Reads "-00002-of-00003.gguf" at the end of a path: returns where it begins, or 0. */
static size_t split_suffix(const char *path, int *number, int *count)
{
    static const char pattern[] = "-#####-of-#####.gguf";
    size_t n = strlen(path), m = sizeof pattern - 1;
    int value[2] = {0, 0}, which = -1;
    if (n <= m)
        return 0;
    for (size_t i = 0; i < m; i++) {
        char c = path[n - m + i];
        which += pattern[i] == '#' && pattern[i - 1] != '#'; /* a pattern begins with '-' */
        if (pattern[i] == '#' ? c < '0' || c > '9' : c != pattern[i])
            return 0;
        if (pattern[i] == '#')
            value[which] = value[which] * 10 + (c - '0');
    }
    *number = value[0];
    *count = value[1];
    return n - m;
}

/* Part `index` of `count`, whose number goes into the path: maps it, checks its place, and adds its tensors. */
static llama4_status add_part(l4_gguf *g, char *path, size_t suffix, int index, int count, int64_t *total, llama4_error *error)
{
    part p;
    uint32_t version;
    const char *name = base_name(path);
    for (int digit = 5, rest = index + 1; digit > 0; digit--, rest /= 10)
        path[suffix + (size_t)digit] = (char)('0' + rest % 10);
    if (l4_file_kind(path) == L4_FILE_MISSING && index > 0 && g->listing) {
        g->listing->absent++;
        return LLAMA4_OK;
    }
    if (l4_file_kind(path) == L4_FILE_MISSING)
        return l4_fail(error, LLAMA4_ERR_IO, "%s is missing: part %d of %d of the model", name, index + 1, count);
    llama4_status status = map_file(g, path, error);
    if (status)
        return status;
    status = begin_part(g, &p, name, &version, error);
    if (status == LLAMA4_OK && (p.number != index || p.count != count))
        status = l4_fail(error, LLAMA4_ERR_FORMAT, "%s says that it is part %lld of %lld", name, (long long)p.number + 1, (long long)p.count);
    if (status == LLAMA4_OK)
        status = read_tensors(&p, &g->archive, error);
    if (index == 0 && status == LLAMA4_OK) { /* the first part's keys are the model's */
        g->version = version;
        g->keys = p.keys;
        *total = p.total;
    } else
        l4_gguf_keys_clear(&p.keys, g->archive.allocator);
    return status;
}

static llama4_status open_parts(l4_gguf *g, const char *path, size_t suffix, int count, llama4_error *error)
{
    int64_t total = -1;
    char *name;
    llama4_status status = l4_copy_string(g->archive.allocator, path, strlen(path), &name, error);
    if (status)
        return status;
    for (int i = 0; status == LLAMA4_OK && i < count; i++)
        status = add_part(g, name, suffix, i, count, &total, error);
    l4_free(g->archive.allocator, name);
    if (g->listing)
        g->listing->files = (size_t)count;
    int all = !g->listing || !g->listing->absent || (total >= 0 && g->archive.n_tensors > (uint64_t)total);
    if (status == LLAMA4_OK && all && total >= 0 && (uint64_t)total != g->archive.n_tensors)
        status = l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the model should have %lld tensors, but its %d parts hold %zu", g->name,
                         (long long)total, count, g->archive.n_tensors);
    return status;
}

/* The file named by path is mapped and begun; it turned out to be one of several. */
static llama4_status open_split(l4_gguf *g, const char *path, part *p, llama4_error *error)
{
    int number = 0, count = 0;
    size_t suffix = split_suffix(path, &number, &count);
    if (suffix == 0 || count != p->count || number != p->number + 1)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s is part %lld of %lld, so its name must end in -%05lld-of-%05lld.gguf", g->name,
                       (long long)p->number + 1, (long long)p->count, (long long)p->number + 1, (long long)p->count);
    l4_gguf_keys_clear(&g->keys, g->archive.allocator);
    l4_unmap(&g->archive.files[0]);
    g->archive.n_files = 0;
    l4_free(g->archive.allocator, g->archive.files);
    g->archive.files = NULL;
    return open_parts(g, path, suffix, count, error);
}

static llama4_status open_path(const l4_allocator *a, const char *path, l4_listing *listing, l4_gguf **out, llama4_error *error)
{
    l4_gguf *g;
    part p;
    llama4_status status = create(a, base_name(path), &g, error);
    if (status)
        return status;
    g->listing = listing;
    status = map_file(g, path, error);
    if (status == LLAMA4_OK) {
        status = begin_part(g, &p, g->name, &g->version, error);
        g->keys = p.keys;
    }
    if (status == LLAMA4_OK)
        status = p.count > 1 ? open_split(g, path, &p, error) : read_tensors(&p, &g->archive, error);
    if (status == LLAMA4_OK)
        status = l4_archive_seal(&g->archive, g->name, error);
    g->listing = NULL;
    if (status)
        l4_gguf_close(g);
    else
        *out = g;
    return status;
}

llama4_status l4_gguf_open(const l4_allocator *a, const char *path, l4_gguf **out, llama4_error *error)
{
    return open_path(a, path, NULL, out, error);
}

llama4_status l4_gguf_open_headers(const l4_allocator *a, const char *path, l4_gguf **out, l4_listing *listing, llama4_error *error)
{
    *listing = (l4_listing){.files = 1};
    return open_path(a, path, listing, out, error);
}
