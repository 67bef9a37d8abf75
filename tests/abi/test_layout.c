/* The compiler's layout of the public structs, against the numbers of layout.h. */
#include <stddef.h>

#include "check.h"
#include "llama4/llama4.h"

static void size_is(const char *name, size_t have, size_t want)
{
    if (have != want)
        printf("%s has %zu bytes, not %zu\n", name, have, want);
    CHECK(have == want);
}

static void field_is(const char *name, size_t offset, size_t size, size_t want_offset, size_t want_size)
{
    if (offset != want_offset || size != want_size)
        printf("%s lies at %zu with %zu bytes, not at %zu with %zu\n", name, offset, size, want_offset, want_size);
    CHECK(offset == want_offset && size == want_size);
}

TEST(sizes)
{
    if (sizeof(void *) != 8)
        SKIP("the numbers are those of 64-bit systems");
#define SIZE(type, first, size)                  \
    CHECK((first) <= (size));                    \
    size_is(#type, sizeof(type), (size));
#define FIELD(type, field, offset, size)
#include "layout.h"
#undef SIZE
#undef FIELD
}

TEST(fields)
{
    if (sizeof(void *) != 8)
        SKIP("the numbers are those of 64-bit systems");
#define SIZE(type, first, size)
#define FIELD(type, field, offset, size) \
    field_is(#type "." #field, offsetof(type, field), sizeof(((type *)0)->field), (offset), (size));
#include "layout.h"
#undef SIZE
#undef FIELD
}

/* Field after field without a hole: nothing that memset would have to reach, and the same bytes everywhere. */
TEST(no_padding)
{
    static const struct {
        const char *type;
        size_t offset, size; /* offset of SIZE_MAX: a struct's own line */
    } list[] = {
#define SIZE(type, first, size) {#type, SIZE_MAX, size},
#define FIELD(type, field, offset, size) {#type, offset, size},
#include "layout.h"
#undef SIZE
#undef FIELD
    };
    size_t end = 0, whole = 0, n = sizeof list / sizeof *list;
    for (size_t i = 0; i <= n; i++) {
        if (i == n || list[i].offset == SIZE_MAX) {
            CHECK(end == whole);
            end = 0;
            whole = i < n ? list[i].size : 0;
        } else {
            if (list[i].offset != end)
                printf("%s: a hole at %zu\n", list[i].type, end);
            CHECK(list[i].offset == end);
            end = list[i].offset + list[i].size;
        }
    }
    CHECK(n > 100);
}

TEST_MAIN(T(sizes), T(fields), T(no_padding))
