/* What this processor, and the operating system, allow. */
#ifndef L4_BASE_CPU_H
#define L4_BASE_CPU_H

#include <stdint.h>

/* The highest LLAMA4_CPU_ level that runs here, at most `cap` (LLAMA4_CPU_AUTO: no cap). Pure: asks the hardware each time. */
int32_t l4_cpu_level(int32_t cap);

/* Processors that this process may run on, at least 1. */
int l4_cpu_count(void);

#endif
