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

/* The same entries with each magnitude as its number among those above, counted from 0: eight times two bits, or two times three in each byte; the first
 * lowest. */
extern const uint16_t l4_iq2_xxs_codes[256], l4_iq2_xs_codes[512], l4_iq2_s_codes[1024], l4_iq3_xxs_codes[256], l4_iq3_s_codes[512];

/* The lower bytes of all of them, then the upper ones. */
extern const uint8_t l4_iq2_xxs_halves[2][256], l4_iq2_xs_halves[2][512], l4_iq2_s_halves[2][1024], l4_iq3_xxs_halves[2][256], l4_iq3_s_halves[2][512];
extern const uint8_t l4_iq1_halves[2][2048]; /* two bits too: an element and 1 */

/* Seven signs, and the eighth that makes the number of those that are set even. */
extern const uint8_t l4_even_signs[128];

#endif
