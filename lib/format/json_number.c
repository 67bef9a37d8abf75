/* Values of JSON numbers: checked text in; int64, or the nearest double (ties to even) out, in every locale and without the C library.
 * Short decimals take one exact operation; all others are divided as big integers, bit by bit, which is slow and plainly right. */
#include "format/json.h"

#include <string.h>

/* Digits that can decide how a double is rounded: 767, and one more that stands for all the rest. */
#define MAX_DIGITS 800

/* A decimal: 0.d1 d2 d3 ... x 10^exponent, first and last digit not zero; no digits: zero. */
typedef struct decimal {
    uint8_t digits[MAX_DIGITS + 1];
    uint32_t n;
    int64_t exponent;
    int negative;
} decimal;

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void read_decimal(const char *text, size_t length, decimal *d)
{
    size_t i = 0;
    int64_t point = 0, written = 0;
    int fraction = 0, dropped = 0;
    d->n = 0;
    d->negative = length > 0 && text[0] == '-';
    i += (size_t)d->negative;
    for (; i < length && (is_digit(text[i]) || text[i] == '.'); i++) {
        if (text[i] == '.') {
            fraction = 1;
            continue;
        }
        if (written == 0 && text[i] == '0') { /* leading zeros only move the point */
            point -= fraction;
            continue;
        }
        written++;
        point += !fraction;
        if (d->n < MAX_DIGITS)
            d->digits[d->n++] = (uint8_t)(text[i] - '0');
        else
            dropped |= text[i] != '0';
    }
    while (!dropped && d->n && d->digits[d->n - 1] == 0)
        d->n--;
    if (dropped)
        d->digits[d->n++] = 1;
    int64_t exponent = 0;
    if (i < length) { /* 'e' */
        int minus = text[i + 1] == '-';
        i += 1 + (size_t)!is_digit(text[i + 1]);
        for (; i < length; i++)
            if (exponent < INT64_C(1) << 50)
                exponent = exponent * 10 + (text[i] - '0');
        if (minus)
            exponent = -exponent;
    }
    d->exponent = point + exponent;
}

/* The digits as an integer; d->n <= 19. */
static uint64_t digits_value(const decimal *d)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < d->n; i++)
        value = value * 10 + d->digits[i];
    return value;
}

llama4_status l4_json_i64(const l4_json *j, const char *what, int64_t min, int64_t max, int64_t *out, llama4_error *error)
{
    if (j->event != L4_JSON_NUMBER)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s is not a number", j->name, what);
    decimal d;
    read_decimal(j->text, j->length, &d);
    if (d.n && d.exponent < (int64_t)d.n)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s is not an integer", j->name, what);
    uint64_t magnitude = 0, limit = (uint64_t)INT64_MAX + (uint64_t)d.negative;
    int fits = d.n == 0 || d.exponent <= 19;
    if (d.n && fits) {
        magnitude = digits_value(&d);
        for (int64_t k = d.n; k < d.exponent; k++)
            magnitude *= 10; /* below 10^19 at the end */
        fits = magnitude <= limit;
    }
    int64_t value = 0;
    if (fits && magnitude)
        value = d.negative ? -(int64_t)(magnitude - 1) - 1 : (int64_t)magnitude;
    if (!fits || value < min || value > max)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s is %.*s, outside %lld .. %lld", j->name, what, (int)(j->length < 40 ? j->length : 40),
                       j->text, (long long)min, (long long)max);
    *out = value;
    return LLAMA4_OK;
}

/* ---- Big natural numbers, just large enough for 10^1131 with some bits to spare ---- */

#define BIG_WORDS 128

typedef struct big {
    uint32_t word[BIG_WORDS]; /* least significant first */
    uint32_t n;               /* words in use; the highest is not zero */
} big;

static void big_multiply_add(big *b, uint32_t factor, uint32_t addend)
{
    uint64_t carry = addend;
    for (uint32_t i = 0; i < b->n; i++) {
        carry += (uint64_t)b->word[i] * factor;
        b->word[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry && b->n < BIG_WORDS)
        b->word[b->n++] = (uint32_t)carry;
}

static void big_multiply_power(big *b, uint32_t tens)
{
    for (; tens >= 9; tens -= 9)
        big_multiply_add(b, 1000000000, 0);
    for (; tens; tens--)
        big_multiply_add(b, 10, 0);
}

static int64_t big_bits(const big *b)
{
    int64_t bits = 32 * (int64_t)b->n;
    for (uint32_t top = b->word[b->n - 1]; !(top & 0x80000000u); top <<= 1)
        bits--;
    return bits;
}

static void big_shift_left(big *b, uint32_t bits)
{
    uint32_t words = bits / 32, rest = bits % 32;
    if (words) {
        memmove(b->word + words, b->word, b->n * sizeof *b->word);
        memset(b->word, 0, words * sizeof *b->word);
        b->n += words;
    }
    if (rest)
        big_multiply_add(b, 1u << rest, 0);
}

static int big_less(const big *a, const big *b)
{
    if (a->n != b->n)
        return a->n < b->n;
    for (uint32_t i = a->n; i-- > 0;)
        if (a->word[i] != b->word[i])
            return a->word[i] < b->word[i];
    return 0;
}

/* a -= b; a >= b. */
static void big_subtract(big *a, const big *b)
{
    uint64_t borrow = 0;
    for (uint32_t i = 0; i < a->n; i++) {
        uint64_t v = (uint64_t)a->word[i] - (i < b->n ? b->word[i] : 0) - borrow;
        a->word[i] = (uint32_t)v;
        borrow = v >> 63;
    }
    while (a->n && a->word[a->n - 1] == 0)
        a->n--;
}

/* The double nearest to q x 2^(exponent - 63), with q in 2^63 .. 2^64 - 1 and a little more if `sticky`; its bits, or all ones on overflow. */
static uint64_t round_double(uint64_t q, int64_t exponent, int sticky)
{
    int64_t drop = exponent < -1022 ? 11 + (-1022 - exponent) : 11; /* subnormal numbers keep fewer bits */
    if (drop > 64)
        return 0;
    uint64_t kept = drop == 64 ? 0 : q >> drop;
    uint64_t half = UINT64_C(1) << (drop - 1), low = drop == 64 ? q : q & (half * 2 - 1);
    if (low > half || (low == half && (sticky || (kept & 1))))
        kept++;
    /* The leading bit of a normal number adds one to the exponent, and so does a carry out of the 53 bits. */
    uint64_t bits = exponent < -1022 ? kept : ((uint64_t)(exponent + 1022) << 52) + kept;
    return bits >= UINT64_C(0x7ff0000000000000) ? UINT64_MAX : bits;
}

/* Bits of the double nearest to d, which has digits. */
static uint64_t decimal_bits(const decimal *d)
{
    if (d->exponent > 310)
        return UINT64_MAX;
    if (d->exponent < -330)
        return 0;
    big top = {{0}, 0}, bottom = {{1}, 1};
    for (uint32_t i = 0; i < d->n; i++) {
        if (top.n == 0) { /* the first digit is not zero */
            top.word[0] = d->digits[i];
            top.n = 1;
        } else
            big_multiply_add(&top, 10, d->digits[i]);
    }
    int64_t tens = d->exponent - (int64_t)d->n; /* -1131 .. 309 */
    big_multiply_power(tens > 0 ? &top : &bottom, (uint32_t)(tens > 0 ? tens : -tens));

    int64_t exponent = big_bits(&top) - big_bits(&bottom);
    big_shift_left(exponent < 0 ? &top : &bottom, (uint32_t)(exponent < 0 ? -exponent : exponent));
    if (big_less(&top, &bottom)) {
        exponent--;
        big_shift_left(&top, 1);
    }
    uint64_t q = 0; /* bottom <= top < 2 bottom: the first of the 64 bits is 1 */
    for (int i = 0; i < 64; i++) {
        q <<= 1;
        if (!big_less(&top, &bottom)) {
            big_subtract(&top, &bottom);
            q |= 1;
        }
        big_shift_left(&top, 1);
    }
    return round_double(q, exponent, top.n != 0);
}

llama4_status l4_json_f64(const l4_json *j, const char *what, double *out, llama4_error *error)
{
    static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (j->event != L4_JSON_NUMBER)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s is not a number", j->name, what);
    decimal d;
    read_decimal(j->text, j->length, &d);
    double value = 0;
    int64_t tens = d.exponent - (int64_t)d.n;
    uint64_t mantissa = d.n <= 19 ? digits_value(&d) : UINT64_MAX;
    if (d.n && mantissa <= UINT64_C(1) << 53 && tens >= -22 && tens <= 22)
        value = tens < 0 ? (double)mantissa / power[-tens] : (double)mantissa * power[tens]; /* both exact: one rounding */
    else if (d.n) {
        uint64_t bits = decimal_bits(&d);
        if (bits == UINT64_MAX)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s is too large for a number", j->name, what);
        memcpy(&value, &bits, sizeof value);
    }
    *out = d.negative ? -value : value;
    return LLAMA4_OK;
}
