/* Reading safetensors: 8 bytes of length, a JSON object {"name": {"dtype", "shape", "data_offsets"}}, then the data. A directory holds either one
 * model.safetensors or several files and model.safetensors.index.json, whose weight_map says which file each tensor is in. */
#include "format/safetensors.h"

#include <string.h>

#include "base/bytes.h"
#include "format/json.h"
#include "format/names.h"
#include "format/types.h"

#define MAX_HEADER 100000000
#define MAX_NAME 1023
#define MAX_FILES 8000
#define FILE_SLOTS 16384 /* a power of two, at least twice as many */

#define ONE_FILE "model.safetensors"
#define INDEX_FILE "model.safetensors.index.json"

/* ---- One file ---- */

/* A tensor's entry; sizes are checked against data of `room` bytes. */
typedef struct entry {
    const l4_type_info *type;
    uint32_t n_dims;
    uint64_t shape[4]; /* slowest first, as in the file */
    uint64_t begin, end;
    int has_shape, has_offsets;
} entry;

static llama4_status read_dtype(l4_json *j, entry *e, llama4_error *error)
{
    char name[16] = "";
    llama4_status status = l4_json_expect(j, L4_JSON_STRING, "dtype", error);
    if (status)
        return status;
    if (j->length < sizeof name)
        memcpy(name, j->text, j->length);
    e->type = l4_type_by_name(name);
    if (e->type && e->type->block > 1 && e->type->type < 1000) /* GGUF's own */
        e->type = NULL;
    if (!e->type)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: unknown dtype \"%.*s\"", j->name, (int)(j->length < 32 ? j->length : 32), j->text);
    return LLAMA4_OK;
}

/* An array of integers from 0; more than `max` of them is an error. */
static llama4_status read_integers(l4_json *j, const char *what, uint64_t *values, uint32_t max, uint32_t *n, llama4_error *error)
{
    llama4_status status = l4_json_expect(j, L4_JSON_ARRAY, what, error);
    *n = 0;
    while (status == LLAMA4_OK) {
        int64_t value;
        status = l4_json_next(j, error);
        if (status || j->event == L4_JSON_ARRAY_END)
            break;
        if (*n == max)
            return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: %s has more than %u numbers (byte %zu)", j->name, what, (unsigned)max, j->position);
        status = l4_json_i64(j, what, 0, INT64_MAX, &value, error);
        if (status == LLAMA4_OK)
            values[(*n)++] = (uint64_t)value;
    }
    return status;
}

static llama4_status read_entry(l4_json *j, entry *e, llama4_error *error)
{
    uint64_t offsets[2] = {0, 0};
    uint32_t n;
    memset(e, 0, sizeof *e);
    llama4_status status = l4_json_expect(j, L4_JSON_OBJECT, "a tensor's entry", error);
    while (status == LLAMA4_OK) {
        status = l4_json_next(j, error);
        if (status || j->event == L4_JSON_OBJECT_END)
            break;
        if (l4_json_is(j, "dtype"))
            status = read_dtype(j, e, error);
        else if (l4_json_is(j, "shape")) {
            status = read_integers(j, "shape", e->shape, 4, &e->n_dims, error);
            e->has_shape = 1;
        } else if (l4_json_is(j, "data_offsets")) {
            status = read_integers(j, "data_offsets", offsets, 2, &n, error);
            e->has_offsets = status == LLAMA4_OK && n == 2;
            e->begin = offsets[0];
            e->end = offsets[1];
        } else
            status = l4_json_skip(j, error);
    }
    return status;
}

/* Fills t from e. t->size of 0 tells that the tensor has no elements. */
static llama4_status check_entry(const entry *e, const char *file, const char *name, uint64_t room, l4_tensor *t, llama4_error *error)
{
    if (!e->type || !e->has_shape || !e->has_offsets)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: tensor %.100s lacks dtype, shape or data_offsets", file, name);
    if (e->begin > e->end || e->end > room)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the data of tensor %.100s lie outside the file", file, name);
    uint64_t product = 1;
    int empty = 0;
    for (uint32_t i = 0; i < e->n_dims; i++)
        empty |= e->shape[i] == 0;
    for (uint32_t i = 0; i < e->n_dims && !empty; i++) {
        if (e->shape[i] > INT64_MAX / product)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: tensor %.100s has an impossible shape", file, name);
        product *= e->shape[i];
    }
    uint64_t size = empty ? 0 : l4_type_row_bytes(e->type, product);
    if (size != e->end - e->begin || (!empty && size == 0))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: tensor %.100s has %llu bytes of data, which its shape and dtype contradict", file, name,
                       (unsigned long long)(e->end - e->begin));
    t->type = e->type->type;
    t->n_dims = e->n_dims ? e->n_dims : 1;
    for (uint32_t i = 0; i < 4; i++)
        t->dims[i] = i < e->n_dims ? e->shape[e->n_dims - 1 - i] : 1;
    t->size = size;
    t->offset = e->begin;
    return LLAMA4_OK;
}

/* What a header holds. */
typedef struct tally {
    size_t tensors, bytes; /* of their names, NULs included */
    size_t empty;          /* tensors without elements, left out of the above */
    int cut;               /* the file ends before the data of a tensor */
} tally;

/* Walks the header. With archive NULL it only counts; otherwise it adds what was reserved. */
static llama4_status walk(l4_json *j, uint32_t file, uint64_t data_start, uint64_t room, l4_archive *archive, tally *found, llama4_error *error)
{
    char name[MAX_NAME + 1];
    llama4_status status = l4_json_expect(j, L4_JSON_OBJECT, "the header", error);
    memset(found, 0, sizeof *found);
    while (status == LLAMA4_OK) {
        entry e;
        l4_tensor t;
        status = l4_json_next(j, error);
        if (status || j->event == L4_JSON_OBJECT_END)
            break;
        if (l4_json_is(j, "__metadata__")) {
            status = l4_json_skip(j, error);
            continue;
        }
        size_t length = j->length;
        if (length == 0 || length > MAX_NAME || memchr(j->text, 0, length))
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: a tensor's name is empty, too long or contains a zero byte (byte %zu)", j->name,
                           j->position);
        memcpy(name, j->text, length);
        name[length] = 0;
        memset(&t, 0, sizeof t);
        status = read_entry(j, &e, error);
        if (status == LLAMA4_OK)
            status = check_entry(&e, j->name, name, room, &t, error);
        if (status)
            break;
        if (t.size == 0) {
            found->empty++;
            continue;
        }
        found->tensors++;
        found->bytes += length + 1;
        if (archive) {
            l4_tensor *kept = l4_archive_add(archive, name, length);
            t.name = kept->name;
            t.file = file;
            t.offset += data_start;
            int outside = t.offset + t.size > archive->files[file].size; /* only if the caller gave more room than there is */
            t.data = outside ? NULL : archive->files[file].data + t.offset;
            found->cut |= outside;
            *kept = t;
        }
    }
    return status ? status : l4_json_expect(j, L4_JSON_END, "what follows the header", error);
}

/* With a listing the file may end anywhere behind its header. */
static llama4_status read_file(l4_archive *out, uint32_t file, const char *name, size_t *empty, l4_listing *listing, llama4_error *error)
{
    const l4_mapping *m = &out->files[file];
    l4_json j;
    tally found;
    if (m->size < 8)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s is too short for a safetensors file", name);
    llama4_status status = l4_map_own(m, 0, 8, name, error);
    if (status)
        return status;
    uint64_t length = l4_load_u64(m->data), left = m->size - 8;
    if (length > MAX_HEADER || length > left)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: a header of %llu bytes does not fit into the file, or is no safetensors header", name,
                       (unsigned long long)length);
    uint64_t room = listing ? (uint64_t)1 << 62 : left - length;
    status = l4_map_own(m, 0, 8 + length, name, error);
    if (status)
        return status;
    l4_json_init(&j, out->allocator, m->data + 8, (size_t)length, name);
    status = walk(&j, file, 8 + length, room, NULL, &found, error);
    l4_json_clear(&j);
    if (status == LLAMA4_OK)
        status = l4_archive_reserve(out, found.tensors, found.bytes, error);
    if (status)
        return status;
    l4_json_init(&j, out->allocator, m->data + 8, (size_t)length, name);
    status = walk(&j, file, 8 + length, room, out, &found, error);
    l4_json_clear(&j);
    *empty += found.empty;
    if (listing)
        listing->cut += (size_t)found.cut;
    return status;
}

llama4_status l4_safetensors_read(l4_archive *out, uint32_t file, const char *name, llama4_error *error)
{
    size_t empty = 0;
    return read_file(out, file, name, &empty, NULL, error);
}

/* ---- A directory ---- */

static llama4_status map_in(l4_archive *out, const char *directory, const char *name, int whole, l4_mapping *mapping, llama4_error *error)
{
    char *path;
    llama4_status status = l4_path_join(out->allocator, directory, name, &path, error);
    if (status)
        return status;
    status = whole ? l4_map_whole(path, mapping, error) : l4_map_path(path, mapping, error);
    l4_free(out->allocator, path);
    return status;
}

static llama4_status add_file(l4_archive *out, const char *directory, const char *name, size_t *empty, l4_listing *listing, llama4_error *error)
{
    l4_mapping mapping;
    char *path;
    llama4_status status = l4_path_join(out->allocator, directory, name, &path, error);
    if (status)
        return status;
    if (listing && l4_file_kind(path) == L4_FILE_MISSING) {
        listing->absent++;
        l4_free(out->allocator, path);
        return LLAMA4_OK;
    }
    status = l4_map_path(path, &mapping, error);
    if (status == LLAMA4_OK)
        status = l4_archive_add_file(out, &mapping, error);
    l4_free(out->allocator, path);
    return status ? status : read_file(out, (uint32_t)out->n_files - 1, name, empty, listing, error);
}

/* The files that an index lists, in the order of first mention. */
typedef struct file_list {
    const l4_allocator *allocator;
    char **names;
    size_t n, capacity;
    uint16_t *slots; /* see names.h */
} file_list;

static void file_list_clear(file_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        l4_free(list->allocator, list->names[i]);
    l4_free(list->allocator, list->names);
    l4_free(list->allocator, list->slots);
}

static int is_plain_name(const char *name, size_t length)
{
    if (length == 0 || length > 255 || name[0] == '.')
        return 0;
    for (size_t i = 0; i < length; i++)
        if (name[i] == '/' || name[i] == '\\' || name[i] == ':' || (unsigned char)name[i] < 0x20)
            return 0;
    return 1;
}

/* The number of the file named by the string just read, which is added if it is new. */
static llama4_status list_file(file_list *list, const l4_json *j, size_t *number, llama4_error *error)
{
    if (!is_plain_name(j->text, j->length))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: \"%.*s\" is not a plain file name", j->name, (int)(j->length < 100 ? j->length : 100), j->text);
    size_t slot = l4_names_hash(j->text, j->length) % FILE_SLOTS, probe = 0;
    for (; list->slots[slot]; slot = (slot + 1) % FILE_SLOTS) {
        *number = list->slots[slot] - 1u;
        if (l4_json_is(j, list->names[*number]))
            return LLAMA4_OK;
        if (++probe == L4_NAMES_PROBES)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: file names like \"%.100s\" collide too often", j->name, list->names[*number]);
    }
    if (list->n == MAX_FILES)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s lists more than %d files", j->name, MAX_FILES);
    llama4_status status = l4_grow(list->allocator, &list->names, &list->capacity, list->n, list->n + 1, sizeof *list->names, "a list of files",
                                   error);
    if (status == LLAMA4_OK)
        status = l4_copy_string(list->allocator, j->text, j->length, &list->names[list->n], error);
    if (status)
        return status;
    *number = list->n++;
    list->slots[slot] = (uint16_t)list->n;
    return LLAMA4_OK;
}

/* One entry of weight_map, after its key. The first walk lists the files; the second, when their tensors are known, checks the places. */
static llama4_status read_mapping(l4_json *j, const l4_archive *loaded, file_list *list, size_t *empty, llama4_error *error)
{
    char name[MAX_NAME + 1];
    size_t length = j->length, number = 0;
    if (length > MAX_NAME || memchr(j->text, 0, length))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: a tensor's name is too long or contains a zero byte", j->name);
    memcpy(name, j->text, length);
    name[length] = 0;
    llama4_status status = l4_json_expect(j, L4_JSON_STRING, "a file in weight_map", error);
    if (status == LLAMA4_OK)
        status = list_file(list, j, &number, error);
    if (status || !loaded)
        return status;
    const l4_tensor *t = l4_archive_find(loaded, name);
    if (t && t->file != number)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: tensor %.80s is in %.80s, not in %.80s", j->name, name, list->names[t->file],
                       list->names[number]);
    if (!t && (*empty)-- == 0) /* those without elements were left out */
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: tensor %.80s is not in %.80s", j->name, name, list->names[number]);
    return LLAMA4_OK;
}

static llama4_status walk_index(const l4_mapping *m, const l4_archive *loaded, file_list *list, size_t empty, llama4_error *error)
{
    l4_json j;
    l4_json_init(&j, list->allocator, m->data, m->size, INDEX_FILE);
    llama4_status status = l4_json_expect(&j, L4_JSON_OBJECT, "the index", error);
    while (status == LLAMA4_OK) {
        status = l4_json_next(&j, error);
        if (status || j.event == L4_JSON_OBJECT_END)
            break;
        if (!l4_json_is(&j, "weight_map")) {
            status = l4_json_skip(&j, error);
            continue;
        }
        status = l4_json_expect(&j, L4_JSON_OBJECT, "weight_map", error);
        while (status == LLAMA4_OK) {
            status = l4_json_next(&j, error);
            if (status || j.event == L4_JSON_OBJECT_END)
                break;
            status = read_mapping(&j, loaded, list, &empty, error);
        }
    }
    if (status == LLAMA4_OK)
        status = l4_json_expect(&j, L4_JSON_END, "what follows the index", error);
    l4_json_clear(&j);
    if (status == LLAMA4_OK && list->n == 0)
        status = l4_fail(error, LLAMA4_ERR_FORMAT, "%s has no weight_map, or an empty one", INDEX_FILE);
    return status;
}

static llama4_status open_index(l4_archive *out, const char *directory, l4_listing *listing, llama4_error *error)
{
    file_list list = {.allocator = out->allocator};
    l4_mapping index;
    size_t empty = 0;
    llama4_status status = map_in(out, directory, INDEX_FILE, 1, &index, error);
    if (status)
        return status;
    status = l4_alloc_zero(list.allocator, FILE_SLOTS, sizeof *list.slots, "a table of files", &list.slots, error);
    if (status == LLAMA4_OK)
        status = walk_index(&index, NULL, &list, 0, error);
    if (listing)
        listing->files = list.n;
    for (size_t i = 0; status == LLAMA4_OK && i < list.n; i++)
        status = add_file(out, directory, list.names[i], &empty, listing, error);
    if (status == LLAMA4_OK)
        status = l4_archive_seal(out, directory, error);
    if (status == LLAMA4_OK && !(listing && listing->absent))
        status = walk_index(&index, out, &list, empty, error);
    file_list_clear(&list);
    l4_unmap(&index);
    return status;
}

/* Whether a file is there: 1, 0, or a negative status. */
static int file_in(const l4_allocator *a, const char *directory, const char *name, llama4_error *error)
{
    char *path;
    llama4_status status = l4_path_join(a, directory, name, &path, error);
    if (status)
        return status;
    int kind = l4_file_kind(path);
    l4_free(a, path);
    return kind != L4_FILE_MISSING;
}

static llama4_status open_directory(const l4_allocator *a, const char *directory, l4_archive *out, l4_listing *listing, llama4_error *error)
{
    l4_archive archive = {.allocator = a};
    llama4_status status;
    size_t empty = 0;
    int single = file_in(a, directory, ONE_FILE, error); /* where both are, it comes first, as in Hugging Face's code */
    int several = single == 0 ? file_in(a, directory, INDEX_FILE, error) : 0;
    if (single < 0 || several < 0)
        return single < 0 ? single : several;
    if (several)
        status = open_index(&archive, directory, listing, error);
    else if (single) {
        status = add_file(&archive, directory, ONE_FILE, &empty, listing, error);
        if (status == LLAMA4_OK)
            status = l4_archive_seal(&archive, directory, error);
    } else
        status = l4_fail(error, LLAMA4_ERR_IO, "%s holds neither %s nor %s", directory, ONE_FILE, INDEX_FILE);
    if (status)
        l4_archive_clear(&archive);
    else
        *out = archive;
    return status;
}

llama4_status l4_safetensors_open(const l4_allocator *a, const char *directory, l4_archive *out, llama4_error *error)
{
    return open_directory(a, directory, out, NULL, error);
}

llama4_status l4_safetensors_open_headers(const l4_allocator *a, const char *directory, l4_archive *out, l4_listing *listing, llama4_error *error)
{
    *listing = (l4_listing){.files = 1};
    return open_directory(a, directory, out, listing, error);
}
