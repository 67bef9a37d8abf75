/* The public functions of conversion: argument checks, then flow/convert.c. */
#include <string.h>

#include "base/floats.h"
#include "flow/convert.h"

llama4_status llama4_convert_params_init(llama4_convert_params *params, size_t size)
{
    if (!params || size < offsetof(llama4_convert_params, imatrix_path) || size > UINT32_MAX)
        return LLAMA4_ERR_ARGUMENT;
    memset(params, 0, size);
    params->struct_size = (uint32_t)size;
    return LLAMA4_OK;
}

llama4_status llama4_convert(const char *in_path, const char *out_path, const llama4_convert_params *params, llama4_error *error)
{
    L4_OWN_FLOATS;
    llama4_convert_params p;
    if (!in_path || !*in_path)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "in_path is %s", in_path ? "empty" : "NULL");
    if (!out_path || !*out_path)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "out_path is %s", out_path ? "empty" : "NULL");
    llama4_status status = l4_read_struct(&p, params, offsetof(llama4_convert_params, imatrix_path), sizeof p, "llama4_convert_params", error);
    if (status)
        return status;
    if (p.flags & ~(uint32_t)(LLAMA4_CONVERT_SEARCH | LLAMA4_CONVERT_VISION))
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "llama4_convert_params.flags has bits that this library does not know: 0x%x",
                       (unsigned)p.flags);
    if (p.imatrix_path && (!*p.imatrix_path || !p.type || (p.flags & LLAMA4_CONVERT_VISION)))
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "llama4_convert_params.imatrix_path %s",
                       !*p.imatrix_path ? "is empty" : p.type ? "is for the text part alone" : "needs a type");
    return l4_convert(in_path, out_path, &p, error);
}
