/* The index of tensors: readers reserve, add and seal; everybody else finds by name. */
#include "format/archive.h"

#include <string.h>

#include "format/names.h"

llama4_status l4_archive_reserve(l4_archive *archive, size_t tensors, size_t bytes, llama4_error *error)
{
    const l4_allocator *a = archive->allocator;
    l4_tensor *fresh;
    char *names;
    if (tensors > UINT32_MAX - 1 - archive->n_tensors || bytes > SIZE_MAX - archive->names_size)
        return l4_fail(error, LLAMA4_ERR_MEMORY, "out of memory: too many tensors");
    llama4_status status = l4_alloc(a, archive->n_tensors + tensors, sizeof *fresh, "the list of tensors", &fresh, error);
    if (status)
        return status;
    status = l4_alloc(a, archive->names_size + bytes, 1, "names of tensors", &names, error);
    if (status) {
        l4_free(a, fresh);
        return status;
    }
    if (archive->names_size)
        memcpy(names, archive->names, archive->names_size);
    for (size_t i = 0; i < archive->n_tensors; i++) {
        fresh[i] = archive->tensors[i];
        fresh[i].name = names + (archive->tensors[i].name - archive->names);
    }
    l4_free(a, archive->tensors);
    l4_free(a, archive->names);
    archive->tensors = fresh;
    archive->names = names;
    return LLAMA4_OK;
}

l4_tensor *l4_archive_add(l4_archive *archive, const char *name, size_t length)
{
    l4_tensor *t = &archive->tensors[archive->n_tensors++];
    char *copy = archive->names + archive->names_size;
    memset(t, 0, sizeof *t);
    memcpy(copy, name, length);
    copy[length] = 0;
    archive->names_size += length + 1;
    t->name = copy;
    return t;
}

llama4_status l4_archive_add_file(l4_archive *archive, l4_mapping *mapping, llama4_error *error)
{
    size_t capacity = archive->n_files; /* a file at a time: there are few */
    llama4_status status = l4_grow(archive->allocator, &archive->files, &capacity, archive->n_files, archive->n_files + 1,
                                   sizeof *archive->files, "the list of files", error);
    if (status) {
        l4_unmap(mapping);
        return status;
    }
    archive->files[archive->n_files++] = *mapping;
    return LLAMA4_OK;
}

/* The slot of a name, or of the empty place where it belongs; n_slots if the search is too long. */
static size_t find_slot(const l4_archive *archive, const char *name)
{
    size_t mask = archive->n_slots - 1, slot = l4_names_hash(name, strlen(name));
    for (size_t probe = 0; probe < L4_NAMES_PROBES; probe++, slot++) {
        uint32_t at = archive->slots[slot & mask];
        if (at == 0 || strcmp(archive->tensors[at - 1].name, name) == 0)
            return slot & mask;
    }
    return archive->n_slots;
}

llama4_status l4_archive_seal(l4_archive *archive, const char *name, llama4_error *error)
{
    size_t n = l4_names_slots(archive->n_tensors);
    l4_free(archive->allocator, archive->slots);
    archive->slots = NULL;
    archive->n_slots = 0;
    llama4_status status = l4_alloc_zero(archive->allocator, n, sizeof *archive->slots, "the table of tensors", &archive->slots, error);
    if (status)
        return status;
    archive->n_slots = n;
    for (size_t i = 0; i < archive->n_tensors; i++) {
        const char *tensor = archive->tensors[i].name;
        size_t slot = find_slot(archive, tensor);
        if (slot == n)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%.120s: tensor names like \"%.80s\" collide too often", name, tensor);
        if (archive->slots[slot])
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%.120s: tensor %.100s comes twice", name, tensor);
        archive->slots[slot] = (uint32_t)i + 1;
    }
    return LLAMA4_OK;
}

const l4_tensor *l4_archive_find(const l4_archive *archive, const char *name)
{
    if (archive->n_slots == 0)
        return NULL;
    size_t slot = find_slot(archive, name);
    return slot < archive->n_slots && archive->slots[slot] ? &archive->tensors[archive->slots[slot] - 1] : NULL;
}

void l4_archive_clear(l4_archive *archive)
{
    for (size_t i = 0; i < archive->n_files; i++)
        l4_unmap(&archive->files[i]);
    if (archive->allocator) {
        l4_free(archive->allocator, archive->files);
        l4_free(archive->allocator, archive->tensors);
        l4_free(archive->allocator, archive->names);
        l4_free(archive->allocator, archive->slots);
    }
    memset(archive, 0, sizeof *archive);
}

const l4_mapping *l4_archive_place(const l4_archive *archive, const uint8_t *data, uint64_t *offset)
{
    for (size_t i = 0; i < archive->n_files; i++) {
        const l4_mapping *f = &archive->files[i];
        if (f->data && data >= f->data && data < f->data + f->size) {
            *offset = (uint64_t)(data - f->data);
            return f;
        }
    }
    return NULL;
}

llama4_status l4_archive_read(const l4_archive *archive, l4_input *inputs, const uint8_t *place, size_t size, uint8_t *buffer, const uint8_t **data,
                              llama4_error *error)
{
    uint64_t offset;
    const l4_mapping *file = l4_archive_place(archive, place, &offset);
    if (!file)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "a matrix lies outside the model's files");
    return l4_input_read(&inputs[file - archive->files], offset, size, buffer, data, error);
}

llama4_status l4_archive_open_inputs(const l4_archive *archive, const l4_allocator *a, int cached, l4_input **out, llama4_error *error)
{
    const llama4_status status = l4_alloc_zero(a, archive->n_files, sizeof **out, "the list of files", out, error);
    for (size_t i = 0; status == LLAMA4_OK && i < archive->n_files; i++)
        l4_input_open(&archive->files[i], cached, &(*out)[i]);
    return status;
}

void l4_archive_close_inputs(const l4_archive *archive, const l4_allocator *a, l4_input *inputs)
{
    for (size_t i = 0; inputs && i < archive->n_files; i++)
        l4_input_close(&inputs[i]);
    l4_free(a, inputs);
}

void l4_archive_unmap(l4_archive *archive)
{
    for (size_t i = 0; i < archive->n_files; i++)
        l4_unmap(&archive->files[i]);
    for (size_t i = 0; i < archive->n_tensors; i++)
        archive->tensors[i].data = NULL;
}
