/* GPT-2's alphabet: UTF-8 in which each of 256 printable code points stands for a byte comes in, those bytes go out. Bytes that
 * are printable in Latin-1 stand for themselves; the others are, in ascending order, U+0100, U+0101, ... */
#include "base/utf8.h"
#include "text/vocab_internal.h"

static const uint8_t beyond_latin1[68] = {0,   1,   2,   3,   4,   5,   6,   7,   8,   9,   10,  11,  12,  13,  14,  15,  16,
                                          17,  18,  19,  20,  21,  22,  23,  24,  25,  26,  27,  28,  29,  30,  31,  32,  127,
                                          128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144,
                                          145, 146, 147, 148, 149, 150, 151, 152, 153, 154, 155, 156, 157, 158, 159, 160, 173};

size_t l4_alphabet_decode(const uint8_t *text, size_t n, uint8_t *out)
{
    size_t used = 0;
    for (size_t i = 0, step; i < n; i += step) {
        uint32_t c;
        step = l4_utf8_decode(text + i, n - i, &c);
        if (step == 0)
            return SIZE_MAX;
        if ((c > 32 && c < 127) || (c > 160 && c < 256 && c != 173))
            out[used++] = (uint8_t)c;
        else if (c >= 256 && c < 256 + sizeof beyond_latin1)
            out[used++] = beyond_latin1[c - 256];
        else
            return SIZE_MAX;
    }
    return used;
}
