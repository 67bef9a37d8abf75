/* What the indices of the IQ formats refer to: an entry is eight or four magnitudes, in file order. */
#ifndef L4_KERNELS_IQ_TABLES_H
#define L4_KERNELS_IQ_TABLES_H

#include <stdint.h>

extern const uint8_t l4_iq2_xxs_grid[256][8]; /* 8, 25, 43 */
extern const uint8_t l4_iq2_xs_grid[512][8];
extern const uint8_t l4_iq2_s_grid[1024][8];
extern const uint8_t l4_iq3_xxs_grid[256][4]; /* 4, 12, ... 52, 62 */
extern const uint8_t l4_iq3_s_grid[512][4];   /* 1, 3, ... 15 */
extern const uint8_t l4_iq1_grid[2048][8];    /* 8 (element + 1), where elements are -1, 0, 1 */

#endif
