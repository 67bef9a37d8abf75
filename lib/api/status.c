/* Version and status names. */
#include "llama4/llama4.h"

uint32_t llama4_version(void)
{
    return LLAMA4_VERSION_MAJOR * 1000000u + LLAMA4_VERSION_MINOR * 1000u + LLAMA4_VERSION_PATCH;
}

const char *llama4_status_name(llama4_status status)
{
    static const char *const names[] = {
        "success", "invalid argument", "out of memory", "input or output failed", "malformed file", "not supported", "cancelled",
        "buffer too small", "context full", "no vocabulary", "invalid UTF-8", "refused by the system", "wrong state",
    };
    const int32_t n = (int32_t)(sizeof names / sizeof *names);
    return status <= 0 && status > -n ? names[-status] : "unknown status";
}
