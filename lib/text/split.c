/* The pre-tokeniser: valid UTF-8 comes in, the end of the next piece goes out. It gives what this pattern gives, leftmost
 * alternative first, with greedy repetition and backtracking (A: upper, title, modifier and other letters, marks;
 * B: lower, modifier and other letters, marks):
 *
 *   [^\r\n\p{L}\p{N}]? A* B+ (?i:'s|'t|'re|'ve|'m|'ll|'d)?     words
 *   [^\r\n\p{L}\p{N}]? A+ B* (?i:'s|'t|'re|'ve|'m|'ll|'d)?
 *   \p{N}{1,3}                                                 digits
 *   [ ]? [^\s\p{L}\p{N}]+ [\r\n/]*                             everything else
 *   \s*[\r\n]+ | \s+(?!\S) | \s+                               white space
 *
 * What a backtracking engine would try is known in advance, so that no character is looked at more than a few times. Read on in
 * bpe.c. */
#include "text/split.h"

#include <string.h>

#include "text/unicode_table.h"

enum {
    REST = 1,
    UPPER = 2,
    LOWER = 4,
    OTHER = 8,
    MARK = 16,
    NUMBER = 32,
    SPACE = 64,    /* white space other than newline */
    NEWLINE = 128, /* CR and LF */
    A = UPPER | OTHER | MARK,
    B = LOWER | OTHER | MARK
};

#define R REST
#define U UPPER
#define L LOWER
#define D NUMBER
#define S SPACE
#define N NEWLINE
/* clang-format off */
static const uint8_t ascii_class[128] = {
    R, R, R, R, R, R, R, R, R, S, N, S, S, N, R, R, R, R, R, R, R, R, R, R, R, R, R, R, R, R, R, R,
    S, R, R, R, R, R, R, R, R, R, R, R, R, R, R, R, D, D, D, D, D, D, D, D, D, D, R, R, R, R, R, R,
    R, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, R, R, R, R, R,
    R, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, R, R, R, R, R};
/* clang-format on */
#undef R
#undef U
#undef L
#undef D
#undef S
#undef N

/* A code point's class and length; the text ends with class 0. */
static unsigned wide_class(const uint8_t *p, size_t *step)
{
    uint32_t c;
    if (p[0] < 0xe0) {
        *step = 2;
        c = (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    } else if (p[0] < 0xf0) {
        *step = 3;
        c = (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    } else {
        *step = 4;
        c = (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
    }
    if (c >= L4_UNICODE_END)
        return REST;
    size_t cell = (size_t)l4_unicode_block[c >> L4_UNICODE_SHIFT] << L4_UNICODE_SHIFT | (c & ((1u << L4_UNICODE_SHIFT) - 1));
    return 1u << (l4_unicode_class[cell >> 1] >> (cell & 1) * 4 & 15);
}

static inline unsigned class_at(const uint8_t *p, const uint8_t *end, size_t *step)
{
    *step = 1;
    if (p >= end)
        return 0;
    return *p < 0x80 ? ascii_class[*p] : wide_class(p, step);
}

/* The end of the longest run of `classes` from p on. */
static inline const uint8_t *run(const uint8_t *p, const uint8_t *end, unsigned classes)
{
    size_t step;
    while (class_at(p, end, &step) & classes)
        p += step;
    return p;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)? at p; U+017F, long s, is a case of s. */
static const uint8_t *contraction(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 2 || *p != '\'')
        return p;
    unsigned a = p[1] | 32u, b = end - p > 2 ? p[2] | 32u : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return p + 2;
    if ((b == 'e' && (a == 'r' || a == 'v')) || (a == 'l' && b == 'l'))
        return p + 3;
    return end - p > 2 && p[1] == 0xc5 && p[2] == 0xbf ? p + 3 : p;
}

/* Both word alternatives from p on, without the optional first character; NULL if neither fits. *second: only the second fits. */
static const uint8_t *word(const uint8_t *p, const uint8_t *end, int *second)
{
    const uint8_t *q = p, *shared = NULL; /* shared: behind the last character that A and B have in common */
    size_t step;
    unsigned c;
    *second = 0;
    while ((c = class_at(q, end, &step)) & A) {
        q += step;
        if (c != UPPER)
            shared = q;
    }
    if (c == LOWER)
        return contraction(run(q + step, end, B), end);
    if (shared) /* A* gives back all capitals behind it, and it becomes the whole of B+ */
        return contraction(shared, end);
    if (q == p)
        return NULL;
    *second = 1;
    return contraction(q, end);
}

/* White space from p on: up to its last CR or LF; without any, all but the last character if something follows. */
static const uint8_t *space(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *q = p, *last = p, *newline = NULL; /* last: where the last character begins */
    size_t step;
    unsigned c;
    while ((c = class_at(q, end, &step)) & (SPACE | NEWLINE)) {
        last = q;
        q += step;
        if (c == NEWLINE)
            newline = q;
    }
    if (newline)
        return newline;
    return q == end || last == p ? q : last;
}

static const uint8_t *piece(const uint8_t *p, const uint8_t *end)
{
    size_t step, next;
    unsigned c = class_at(p, end, &step);
    const uint8_t *q;
    int second;
    if (c & (UPPER | LOWER | OTHER))
        return word(p, end, &second);
    if (c & (MARK | SPACE | REST)) {
        q = word(p + step, end, &second);
        if (q && !(c == MARK && second))
            return q;
        if (c == MARK) /* the first alternative without its first character comes before the second with it */
            return contraction(p + step, end);
    }
    if (c == NUMBER) {
        q = p + step;
        for (int i = 1; i < 3 && class_at(q, end, &step) == NUMBER; i++)
            q += step;
        return q;
    }
    q = p;
    if (*p == ' ' && class_at(p + 1, end, &next) & (REST | MARK))
        q++;
    else if (c & (SPACE | NEWLINE))
        return space(p, end);
    q = run(q, end, REST | MARK);
    while (q < end && (*q == '\r' || *q == '\n' || *q == '/'))
        q++;
    return q;
}

size_t l4_split_next(const uint8_t *text, size_t length, size_t position)
{
    return (size_t)(piece(text + position, text + length) - text);
}
