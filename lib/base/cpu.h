/* What this processor, and the operating system, allow. */
#ifndef L4_BASE_CPU_H
#define L4_BASE_CPU_H

#include <stdint.h>

/* The highest LLAMA4_CPU_ level that runs here, at most `cap` (LLAMA4_CPU_AUTO: no cap). Pure: asks the hardware each time. */
int32_t l4_cpu_level(int32_t cap);

/* Processors that this process may run on, or that its control groups' shares of time amount to, rounded up, whichever is less: 1 .. 4096. Asks
 * the system each time. */
int l4_cpu_count(void);

/* The lowest share among the CPU control groups that the process is in; 4096 if there is none. `root` is as in base/groups.h. */
int l4_cpu_group_limit(const char *root);

#endif
