#include "flow/vision.h"

#include <string.h>

#include "format/safetensors.h"

static llama4_status map_inside(const l4_allocator *a, const char *directory, const char *name, l4_mapping *out, char **path, llama4_error *error)
{
    llama4_status status = l4_path_join(a, directory, name, path, error);
    return status ? status : l4_map_whole(*path, out, error);
}

static llama4_status read_json(const l4_allocator *a, const char *directory, l4_vision_config *out, llama4_error *error)
{
    l4_mapping config = {0}, preprocessor = {0};
    char *path = NULL, *second = NULL;
    llama4_status status = map_inside(a, directory, "config.json", &config, &path, error);
    if (status == LLAMA4_OK)
        status = l4_path_join(a, directory, "preprocessor_config.json", &second, error);
    int more = status == LLAMA4_OK && l4_file_kind(second) == L4_FILE_REGULAR;
    if (more)
        status = l4_map_whole(second, &preprocessor, error);
    if (status == LLAMA4_OK)
        status = l4_vision_config_from_json(a, &config, more ? &preprocessor : NULL, path, out, error);
    l4_unmap(&config);
    l4_unmap(&preprocessor);
    l4_free(a, path);
    l4_free(a, second);
    return status;
}

llama4_status l4_vision_part_of(const l4_allocator *a, const char *directory, const l4_archive *archive, int bind, l4_vision_part *out,
                                llama4_error *error)
{
    out->allocator = a;
    out->archive = archive;
    out->present = 1;
    llama4_status status = read_json(a, directory, &out->config, error);
    if (status || !bind)
        return status;
    status = l4_vision_from_hf(a, &out->config, archive, &out->weights, error);
    if (status == LLAMA4_OK)
        out->config = out->weights.config;
    return status ? status : l4_archive_open_inputs(archive, a, 1, &out->inputs, error);
}

llama4_status l4_vision_part_open(const l4_allocator *a, const char *path, int bind, l4_vision_part *out, llama4_error *error)
{
    llama4_status status;
    out->allocator = a;
    if (l4_file_kind(path) == L4_FILE_DIRECTORY) {
        status = l4_safetensors_open(a, path, &out->safetensors, error);
        if (status == LLAMA4_OK && !l4_vision_in_archive(&out->safetensors))
            status = l4_fail(error, LLAMA4_ERR_FORMAT, "%s has no picture encoder among its tensors", path);
        return status ? status : l4_vision_part_of(a, path, &out->safetensors, bind, out, error);
    }
    status = l4_gguf_open(a, path, &out->gguf, error);
    if (status == LLAMA4_OK)
        status = l4_vision_config_from_gguf(out->gguf, &out->config, error);
    if (status)
        return status;
    out->archive = l4_gguf_archive(out->gguf);
    out->present = 1;
    if (bind)
        status = l4_vision_from_gguf(a, &out->config, out->archive, &out->weights, error);
    if (bind && status == LLAMA4_OK)
        out->config = out->weights.config;
    return status || !bind ? status : l4_archive_open_inputs(out->archive, a, 1, &out->inputs, error);
}

void l4_vision_part_close(l4_vision_part *v)
{
    l4_vision_clear(&v->weights);
    if (v->inputs)
        l4_archive_close_inputs(v->archive, v->allocator, v->inputs);
    l4_gguf_close(v->gguf);
    if (v->safetensors.allocator)
        l4_archive_clear(&v->safetensors);
    memset(v, 0, sizeof *v);
}
