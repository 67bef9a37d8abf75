/* The public functions of llama4_model: argument checks, then flow/model.c and flow/memory.c. */
#include <stddef.h>
#include <string.h>

#include "base/floats.h"
#include "flow/memory.h"
#include "format/types.h"

llama4_status llama4_model_params_init(llama4_model_params *params, size_t size)
{
    if (!params || size < offsetof(llama4_model_params, vision_path) || size > UINT32_MAX)
        return LLAMA4_ERR_ARGUMENT;
    memset(params, 0, size);
    params->struct_size = (uint32_t)size;
    return LLAMA4_OK;
}

static llama4_status open_source(const l4_source *source, const llama4_model_params *params, llama4_model **model, llama4_error *error)
{
    llama4_model_params p;
    llama4_status status = l4_read_struct(&p, params, offsetof(llama4_model_params, vision_path), sizeof p, "llama4_model_params", error);
    if (status)
        return status;
    if (!model)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "model is NULL");
    if (p.flags & ~(LLAMA4_MODEL_HEADER_ONLY | LLAMA4_MODEL_STREAM))
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "llama4_model_params.flags has unknown bits: 0x%x", (unsigned)p.flags);
    if (p.cpu_level < 0)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "llama4_model_params.cpu_level is %d", (int)p.cpu_level);
    if (p.reserved)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "llama4_model_params.reserved is not 0");
    if (p.memory_bytes < 0)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "llama4_model_params.memory_bytes is %lld", (long long)p.memory_bytes);
    if (p.expert_slots < 0 || p.expert_slots == 1)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "llama4_model_params.expert_slots is %d, not 0 or at least 2", (int)p.expert_slots);
    if (p.reserved_2)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "llama4_model_params.reserved_2 is not 0");
    return l4_model_open(source, &p, model, error);
}

llama4_status llama4_model_open(const char *path, const llama4_model_params *params, llama4_model **model, llama4_error *error)
{
    L4_OWN_FLOATS;
    if (!path || !*path)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "path is %s", path ? "empty" : "NULL");
    const l4_source source = {.path = path, .fd = -1};
    return open_source(&source, params, model, error);
}

llama4_status llama4_model_open_fd(int32_t fd, const llama4_model_params *params, llama4_model **model, llama4_error *error)
{
    L4_OWN_FLOATS;
    if (fd < 0)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "fd is %d", (int)fd);
    const l4_source source = {.fd = fd};
    return open_source(&source, params, model, error);
}

llama4_status llama4_model_open_memory(const void *data, size_t size, const llama4_model_params *params, llama4_model **model, llama4_error *error)
{
    L4_OWN_FLOATS;
    if (!data)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "data is NULL");
    const l4_source source = {.fd = -1, .data = data, .size = size};
    return open_source(&source, params, model, error);
}

llama4_model *llama4_model_ref(llama4_model *model)
{
    if (model)
        l4_model_ref(model);
    return model;
}

void llama4_model_release(llama4_model *model)
{
    if (model)
        l4_model_release(model);
}

llama4_vocab *llama4_model_get_vocab(const llama4_model *model)
{
    return model ? model->vocab : NULL;
}

llama4_status llama4_model_get_info(const llama4_model *model, llama4_model_info *info, llama4_error *error)
{
    L4_OWN_FLOATS;
    llama4_model_info full = {0};
    if (!model)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "model is NULL");
    l4_model_describe(model, &full);
    return l4_write_struct(info, &full, offsetof(llama4_model_info, vision_layers), sizeof full, "llama4_model_info", error);
}

llama4_status llama4_model_get_tensor(const llama4_model *model, int32_t index, llama4_tensor_info *info, llama4_error *error)
{
    llama4_tensor_info full = {0};
    if (!model)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "model is NULL");
    if (index < 0 || (size_t)index >= model->archive->n_tensors)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "index %d: the model has %zu tensors", (int)index, model->archive->n_tensors);
    const l4_tensor *t = &model->archive->tensors[index];
    full.n_dims = (int32_t)t->n_dims;
    for (int i = 0; i < 4; i++)
        full.dims[i] = (int64_t)t->dims[i];
    full.bytes = (int64_t)t->size;
    full.offset = (int64_t)t->offset;
    full.name = t->name;
    full.type_name = l4_type_find(t->type)->name;
    full.file = (int32_t)t->file;
    full.type = (int32_t)t->type;
    full.path = l4_tensor_path(t);
    return l4_write_struct(info, &full, offsetof(llama4_tensor_info, path), sizeof full, "llama4_tensor_info", error);
}

llama4_status llama4_model_get_memory(llama4_model *model, llama4_memory_info *info, llama4_error *error)
{
    L4_OWN_FLOATS;
    llama4_memory_info full = {0};
    if (!model)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "model is NULL");
    l4_memory_describe(model, &full);
    return l4_write_struct(info, &full, sizeof full, sizeof full, "llama4_memory_info", error);
}

static llama4_status streaming(const llama4_model *model, const char *path, llama4_error *error)
{
    if (!model || !path || !*path)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s", !model ? "model is NULL" : !path ? "path is NULL" : "path is empty");
    return model->weights.pool ? LLAMA4_OK : l4_fail(error, LLAMA4_ERR_STATE, "the model does not stream experts");
}

llama4_status llama4_model_save_experts(llama4_model *model, const char *path, llama4_error *error)
{
    llama4_status status = streaming(model, path, error);
    return status ? status : l4_memory_save(model, path, error);
}

llama4_status llama4_model_load_experts(llama4_model *model, const char *path, llama4_error *error)
{
    llama4_status status = streaming(model, path, error);
    return status ? status : l4_memory_load(model, path, error);
}
