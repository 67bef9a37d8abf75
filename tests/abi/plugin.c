/* A plug-in that brings libllama4 along, linked as the plug-in's maker chose. */
#include "work.h"

#if defined(__GNUC__)
#define EXPORT __attribute__((visibility("default")))
#else
#define EXPORT
#endif

EXPORT int32_t plugin_work(const char *path, char *out, size_t capacity);
EXPORT llama4_model *plugin_open(const char *path);
EXPORT void plugin_close(llama4_model *model);
EXPORT const void *plugin_constant(void);

int32_t plugin_work(const char *path, char *out, size_t capacity)
{
    return work(path, 2, out, capacity);
}

/* Left open across what the host does. */
llama4_model *plugin_open(const char *path)
{
    llama4_model *model = NULL;
    return llama4_model_open(path, NULL, &model, NULL) ? NULL : model;
}

void plugin_close(llama4_model *model)
{
    llama4_model_release(model);
}

/* Lies in the copy of the library that the plug-in talks to. */
const void *plugin_constant(void)
{
    return llama4_status_name(LLAMA4_OK);
}
