/* Pictures in prompts: encoding, chats with images, frames and embeddings, and what is refused. */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "support.h"

#include "pictures.h"

/* ---- What a model says ---- */

TEST(shape)
{
    llama4_model_params header = {.struct_size = sizeof header, .flags = LLAMA4_MODEL_HEADER_ONLY};
    for (int i = 0; i < 2; i++) {
        llama4_model *m = open_model(VISION, i ? &header : NULL);
        REQUIRE(m != NULL);
        llama4_model_info info = model_info(m);
        CHECK_EQ(info.vision_layers, 3);
        CHECK_EQ(info.vision_width, 64);
        CHECK_EQ(info.vision_heads, 4);
        CHECK_EQ(info.vision_feed_forward_length, 256);
        CHECK_EQ(info.tile_size, SIDE);
        CHECK_EQ(info.patch_size, 14);
        CHECK_EQ(info.tile_tokens, 4);
        CHECK_EQ(info.max_tiles, 4);
        CHECK_EQ(info.vision_parameters, 64 * 588 + 17 * 64 + 64 + 4 * 64 + 3 * (4 * 64 * 64 + 2 * 64 * 256 + 9 * 64 + 256) + 96 * 256 + 2 * 96 * 96);
        llama4_model_release(m);
    }
    llama4_model *text = open_model(SCOUT, NULL);
    llama4_model_info info = model_info(text);
    CHECK(info.layers == 5 && info.vision_layers == 0 && info.tile_size == 0 && info.vision_parameters == 0);
    llama4_model_release(text);
}

TEST(vision_paths)
{
    static const struct {
        const char *model, *vision;
        llama4_status want;
    } cases[] = {
        {VISION, "/nowhere", LLAMA4_ERR_IO},          {VISION, LONG, LLAMA4_ERR_UNSUPPORTED}, {VISION, SCOUT, LLAMA4_ERR_FORMAT},
        {TINY, VISION, LLAMA4_ERR_FORMAT},            {VISION, VISION, LLAMA4_OK},            {VISION, LLAMA4_TESTS "/lint/lint.py", LLAMA4_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        llama4_model_params p = {.struct_size = sizeof p, .vision_path = cases[i].vision};
        llama4_model *m = NULL;
        llama4_status status = llama4_model_open(cases[i].model, &p, &m, &error);
        CHECK_STATUS(status, cases[i].want, error);
        CHECK((m != NULL) == (status == LLAMA4_OK));
        llama4_model_release(m);
    }
}

/* ---- Encoding ---- */

TEST(every_instruction_set_gives_the_same_bits)
{
    static const int32_t levels[] = {0, LLAMA4_CPU_GENERIC, LLAMA4_CPU_AVX2, LLAMA4_CPU_AVX512};
    float *first = NULL;
    size_t n = 0;
    llama4_image *image = picture(100, 70, 5, NULL);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        llama4_model_params p = {.struct_size = sizeof p, .cpu_level = levels[i]};
        llama4_model *m = open_model(VISION, &p);
        llama4_context *c = m ? open_context(m, 1 + (int32_t)i, 0) : NULL;
        REQUIRE(c != NULL);
        size_t count = 0;
        float *numbers = encoded(c, image, &count);
        REQUIRE(numbers != NULL);
        CHECK_EQ(count, (size_t)image_info(image, m).embeddings * 96);
        if (!first) {
            first = numbers;
            n = count;
            for (size_t k = 0; k < n; k++)
                CHECK(isfinite(numbers[k]));
        } else {
            CHECK_EQ(count, n);
            CHECK_MEM(numbers, first, n * sizeof *first);
            free(numbers);
        }
        llama4_context_release(c);
        llama4_model_release(m);
    }
    free(first);
    llama4_image_release(image);
}

/* A tile's embeddings are the same whatever tiles come with it. */
TEST(tiles_do_not_depend_on_each_other)
{
    enum { TILES = 7, ONE = 3 * SIDE * SIDE };
    llama4_model *m = open_model(VISION, NULL);
    llama4_context *c = m ? open_context(m, 2, 0) : NULL;
    float *tiles = malloc(TILES * ONE * sizeof *tiles);
    uint64_t state = 8;
    REQUIRE(c && tiles);
    for (size_t i = 0; i < TILES * ONE; i++)
        tiles[i] = (float)(next_random(&state) % 2001) / 1000.0f - 1.0f;
    llama4_image *all = NULL;
    REQUIRE_STATUS(llama4_image_create_tiles(tiles, TILES * ONE, 3, 2, SIDE, NULL, &all, &error), LLAMA4_OK, error);
    llama4_image_info info = image_info(all, m);
    CHECK(info.tiles == TILES && info.columns == 3 && info.rows == 2 && info.embeddings == 28 && info.tokens == 28 + 6 + 3 && info.width == 0);
    size_t n = 0, part = 0;
    float *together = encoded(c, all, &n);
    for (size_t i = 0; i < TILES; i++) {
        llama4_image *one = NULL;
        CHECK_STATUS(llama4_image_create_tiles(tiles + i * ONE, ONE, 1, 1, SIDE, NULL, &one, &error), LLAMA4_OK, error);
        float *alone = encoded(c, one, &part);
        CHECK_EQ(part * TILES, n);
        CHECK_MEM(alone, together + i * part, part * sizeof *alone);
        free(alone);
        llama4_image_release(one);
    }
    free(together);
    free(tiles);
    llama4_image *wrong = NULL;
    float small[3] = {0};
    CHECK_STATUS(llama4_image_create_tiles(small, 3, 1, 1, 1, NULL, &wrong, &error), LLAMA4_OK, error);
    llama4_embeddings *e = NULL;
    CHECK_STATUS(llama4_image_encode(c, wrong, &e, &error), LLAMA4_ERR_ARGUMENT, error); /* tiles of another size */
    CHECK(e == NULL);
    llama4_image_release(wrong);
    llama4_image_release(all);
    llama4_context_release(c);
    llama4_model_release(m);
}

/* ---- Chats ---- */

static answer chat(llama4_context *c, const llama4_message *m, size_t n)
{
    answer a = {.n = 0};
    llama4_generate_params p = {.struct_size = sizeof p, .max_tokens = 12, .flags = LLAMA4_GENERATE_IGNORE_STOP};
    CHECK_STATUS(llama4_context_chat(c, 0, m, n, sizeof *m, &p, on_text, &a, NULL, &error), LLAMA4_OK, error);
    CHECK_EQ(a.n, 12);
    return a;
}

/* An image, its embeddings, and the ids with rows of numbers all say the same. */
TEST(three_ways_to_show_a_picture)
{
    llama4_model *m = open_model(VISION, NULL);
    llama4_context *c = m ? open_context(m, 2, LLAMA4_KV_F32) : NULL;
    REQUIRE(c != NULL);
    const llama4_vocab *vocab = llama4_model_get_vocab(m);
    llama4_image *one = picture(80, 40, 1, NULL), *two = picture(30, 50, 2, NULL);
    llama4_embeddings *first = NULL, *second = NULL;
    llama4_part parts[] = {text_part("Compare "), image_part(one), text_part(" and "), image_part(two), text_part("!")};
    llama4_message m1 = message_of(parts, 5);
    answer shown = chat(c, &m1, 1);

    REQUIRE_STATUS(llama4_image_encode(c, one, &first, &error), LLAMA4_OK, error);
    REQUIRE_STATUS(llama4_image_encode(c, two, &second, &error), LLAMA4_OK, error);
    parts[1] = (llama4_part){.struct_size = sizeof *parts, .embeddings = first};
    parts[3] = (llama4_part){.struct_size = sizeof *parts, .embeddings = second};
    answer reused = chat(c, &m1, 1);
    CHECK_MEM(reused.ids, shown.ids, sizeof shown.ids);

    int32_t ids[256], patch = llama4_vocab_find(vocab, "<|patch|>", strlen("<|patch|>"));
    const float *a = NULL, *b = NULL;
    size_t n = 0, na = 0, nb = 0, patches = 0;
    CHECK_STATUS(llama4_chat_tokenize(vocab, &m1, 1, sizeof m1, 0, ids, 256, &n, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_embeddings_data(first, &a, &na, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_embeddings_data(second, &b, &nb, &error), LLAMA4_OK, error);
    for (size_t i = 0; i < n; i++)
        patches += ids[i] == patch;
    CHECK_EQ(patches * 96, na + nb);
    float *rows = malloc((na + nb) * sizeof *rows);
    memcpy(rows, a, na * sizeof *rows);
    memcpy(rows + na, b, nb * sizeof *rows);
    answer raw = {.n = 0};
    llama4_generate_params p = {.struct_size = sizeof p, .max_tokens = 12, .flags = LLAMA4_GENERATE_IGNORE_STOP, .embeddings = rows, .n_embeddings = na + nb};
    CHECK_STATUS(llama4_context_generate(c, 1, ids, n, &p, on_text, &raw, NULL, &error), LLAMA4_OK, error);
    CHECK_MEM(raw.ids, shown.ids, sizeof shown.ids);
    p.n_embeddings -= 96; /* one row too few */
    CHECK_STATUS(llama4_context_generate(c, 2, ids, n, &p, on_text, &raw, NULL, &error), LLAMA4_ERR_ARGUMENT, error);
    CHECK_EQ(llama4_context_sequence_length(c, 2), 0);
    p.embeddings = NULL;
    CHECK_STATUS(llama4_context_generate(c, 2, ids, n, &p, on_text, &raw, NULL, &error), LLAMA4_ERR_ARGUMENT, error);
    free(rows);

    /* Another picture gives another answer: the rows are really looked at. */
    parts[1] = image_part(two);
    answer other = chat(c, &m1, 1);
    CHECK(memcmp(other.ids, shown.ids, sizeof shown.ids) != 0);
    llama4_context_release(c);
    llama4_model_release(m); /* the embeddings hold it */
    CHECK_STATUS(llama4_embeddings_data(llama4_embeddings_ref(first), &a, &na, &error), LLAMA4_OK, error);
    llama4_embeddings_release(first);
    llama4_embeddings_release(first);
    llama4_embeddings_release(second);
    llama4_image_release(one);
    llama4_image_release(two);
}

static size_t ids_of(const llama4_vocab *v, const llama4_part *parts, size_t n_parts, int32_t *ids)
{
    llama4_message m = message_of(parts, n_parts);
    size_t n = 0;
    CHECK_STATUS(llama4_chat_tokenize(v, &m, 1, sizeof m, LLAMA4_CHAT_NO_BOS | LLAMA4_CHAT_NO_HEADER, ids, 4096, &n, &error), LLAMA4_OK, error);
    return n;
}

TEST(frames_of_a_video)
{
    static int32_t got[4096], want[4096];
    static const struct {
        double seconds;
        const char *text;
    } times[] = {{0, "[0:00.0] "}, {7.46, "[0:07.5] "}, {59.97, "[1:00.0] "}, {83.4, "[1:23.4] "}, {3599.9, "[59:59.9] "}, {3723.0, "[1:02:03.0] "}};
    llama4_model *m = open_model(VISION, NULL);
    REQUIRE(m != NULL);
    const llama4_vocab *v = llama4_model_get_vocab(m);
    llama4_image *wide = picture(200, 60, 3, NULL), *small = picture(50, 20, 4, NULL);
    CHECK(image_info(wide, m).tiles > 1);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        llama4_part frame = image_part(wide), apart[2] = {text_part(times[i].text), image_part(small)};
        frame.flags = LLAMA4_PART_FRAME;
        frame.seconds = times[i].seconds;
        size_t n = ids_of(v, &frame, 1, got), count = ids_of(v, apart, 2, want); /* one tile each */
        CHECK_EQ(n, count);
        CHECK_MEM(got, want, n * sizeof *got);
    }
    llama4_image_params one = {.struct_size = sizeof one, .max_tiles = 1};
    llama4_image *frame = picture(200, 60, 3, &one);
    CHECK_EQ(image_info(frame, m).tiles, 1);
    CHECK_EQ(image_info(frame, NULL).tiles, 1);
    llama4_image_release(frame);
    llama4_image_release(wide);
    llama4_image_release(small);
    llama4_model_release(m);
}

TEST(parts_that_are_wrong)
{
    llama4_model *m = open_model(VISION, NULL);
    REQUIRE(m != NULL);
    const llama4_vocab *v = llama4_model_get_vocab(m);
    llama4_image *image = picture(20, 20, 1, NULL);
    size_t n;
    const struct {
        llama4_part part;
        llama4_status want;
    } bad[] = {
        {{.struct_size = sizeof(llama4_part)}, LLAMA4_ERR_ARGUMENT},
        {{.struct_size = sizeof(llama4_part), .text = "x", .image = image}, LLAMA4_ERR_ARGUMENT},
        {{.struct_size = sizeof(llama4_part), .text_length = 3, .image = image}, LLAMA4_ERR_ARGUMENT},
        {{.struct_size = sizeof(llama4_part), .text = "x", .flags = LLAMA4_PART_FRAME}, LLAMA4_ERR_ARGUMENT},
        {{.struct_size = sizeof(llama4_part), .image = image, .flags = 64}, LLAMA4_ERR_UNSUPPORTED},
        {{.struct_size = sizeof(llama4_part), .image = image, .flags = LLAMA4_PART_FRAME, .seconds = -1}, LLAMA4_ERR_ARGUMENT},
        {{.struct_size = sizeof(llama4_part), .image = image, .flags = LLAMA4_PART_FRAME, .seconds = NAN}, LLAMA4_ERR_ARGUMENT},
        {{.struct_size = sizeof(llama4_part) - 1, .image = image}, LLAMA4_ERR_ARGUMENT},
        {{.struct_size = sizeof(llama4_part) + 8, .image = image}, LLAMA4_ERR_ARGUMENT},
        {{.struct_size = sizeof(llama4_part), .text = "\xff"}, LLAMA4_ERR_UTF8},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        llama4_part parts[2] = {text_part("before"), bad[i].part};
        llama4_message message = message_of(parts, 2);
        llama4_status status = llama4_chat_tokenize(v, &message, 1, sizeof message, 0, NULL, 0, &n, &error);
        if (status != bad[i].want)
            printf("part %zu: ", i);
        CHECK_STATUS(status, bad[i].want, error);
        CHECK(strstr(error.message, "message 0, part 1") != NULL);
    }
    llama4_part good = image_part(image);
    llama4_message message = message_of(&good, 1);
    message.content = "both";
    CHECK_STATUS(llama4_chat_tokenize(v, &message, 1, sizeof message, 0, NULL, 0, &n, &error), LLAMA4_ERR_ARGUMENT, error);
    message = message_of(&good, 1);
    message.part_stride = 8;
    CHECK_STATUS(llama4_chat_tokenize(v, &message, 1, sizeof message, 0, NULL, 0, &n, &error), LLAMA4_ERR_ARGUMENT, error);
    message = message_of(NULL, 1);
    CHECK_STATUS(llama4_chat_tokenize(v, &message, 1, sizeof message, 0, NULL, 0, &n, &error), LLAMA4_ERR_ARGUMENT, error);
    llama4_image_release(image);
    llama4_model_release(m);
}

/* ---- Refusals ---- */

TEST(models_without_eyes)
{
    llama4_model *m = open_model(TINY, NULL), *seeing = open_model(VISION, NULL);
    llama4_context *c = m ? open_context(m, 1, 0) : NULL, *other = seeing ? open_context(seeing, 1, 0) : NULL;
    REQUIRE(c && other);
    llama4_image *image = picture(20, 20, 1, NULL);
    llama4_embeddings *e = NULL;
    llama4_image_info info = {.struct_size = sizeof info};
    llama4_part part = image_part(image);
    llama4_message message = message_of(&part, 1);
    CHECK_STATUS(llama4_image_encode(c, image, &e, &error), LLAMA4_ERR_STATE, error);
    CHECK_STATUS(llama4_image_get_info(image, m, &info, &error), LLAMA4_ERR_STATE, error);
    int32_t id = 3;
    llama4_batch_item item = {.token = id, .position = -1};
    CHECK_STATUS(llama4_context_decode(c, &item, 1, sizeof item, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_context_chat(c, 0, &message, 1, sizeof message, NULL, NULL, NULL, NULL, &error), LLAMA4_ERR_STATE, error);
    CHECK_EQ(llama4_context_sequence_length(c, 0), 1); /* as it was */
    /* embeddings of a model of another width */
    REQUIRE_STATUS(llama4_image_encode(other, image, &e, &error), LLAMA4_OK, error);
    part = (llama4_part){.struct_size = sizeof part, .embeddings = e};
    CHECK_STATUS(llama4_context_chat(c, 0, &message, 1, sizeof message, NULL, NULL, NULL, NULL, &error), LLAMA4_ERR_ARGUMENT, error);
    llama4_embeddings_release(e);
    e = NULL;
    /* a model that cannot make them may still take them */
    float *rows = calloc(3 * 256, sizeof *rows);
    REQUIRE_STATUS(llama4_embeddings_create(m, rows, 3 * 256, 1, 1, &e, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_embeddings_get_info(e, &info, &error), LLAMA4_OK, error);
    CHECK(info.embeddings == 3 && info.tokens == 6 && info.tiles == 1 && info.width == 0);
    part.embeddings = e;
    llama4_generate_params p = {.struct_size = sizeof p, .max_tokens = 2};
    CHECK_STATUS(llama4_context_chat(c, 0, &message, 1, sizeof message, &p, NULL, NULL, NULL, &error), LLAMA4_OK, error);
    llama4_embeddings_release(e);
    e = NULL;
    CHECK_STATUS(llama4_embeddings_create(m, rows, 3 * 256 - 1, 1, 1, &e, &error), LLAMA4_ERR_ARGUMENT, error);
    CHECK_STATUS(llama4_embeddings_create(m, rows, 3 * 256, 2, 1, &e, &error), LLAMA4_OK, error); /* two tiles and the whole, a row each */
    llama4_embeddings_release(e);
    e = NULL;
    CHECK_STATUS(llama4_embeddings_create(m, rows, 3 * 256, 0, 1, &e, &error), LLAMA4_ERR_ARGUMENT, error);
    CHECK_STATUS(llama4_embeddings_create(m, rows, 3 * 256, 100, 100, &e, &error), LLAMA4_ERR_ARGUMENT, error);
    CHECK(e == NULL);
    free(rows);
    llama4_image_release(image);
    llama4_context_release(c);
    llama4_context_release(other);
    llama4_model_release(m);
    llama4_model_release(seeing);
}

static int32_t count_calls(void *user, float fraction)
{
    (void)fraction;
    ++*(int *)user;
    return 0;
}

/* More pictures than the context holds: refused before any is encoded. */
TEST(more_pictures_than_fit)
{
    llama4_model *m = open_model(VISION, NULL);
    llama4_context *c = NULL;
    int calls = 0;
    llama4_context_params p = {.struct_size = sizeof p, .context_length = 40, .progress = count_calls, .progress_user = &calls};
    REQUIRE(m && !llama4_context_create(m, &p, &c, &error));
    llama4_image *image = picture(20, 20, 1, NULL);
    llama4_part parts[10];
    for (size_t i = 0; i < 10; i++)
        parts[i] = image_part(image);
    llama4_message message = message_of(parts, 10);
    llama4_batch_item item = {.token = 3, .position = -1};
    CHECK_STATUS(llama4_context_decode(c, &item, 1, sizeof item, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_context_chat(c, 0, &message, 1, sizeof message, NULL, NULL, NULL, NULL, &error), LLAMA4_ERR_CONTEXT_FULL, error);
    CHECK_EQ(calls, 0);
    CHECK_EQ(llama4_context_sequence_length(c, 0), 1);
    llama4_image_release(image);
    llama4_context_release(c);
    llama4_model_release(m);
}

TEST(rows_and_items_must_match)
{
    llama4_model *m = open_model(VISION, NULL);
    llama4_context *c = m ? open_context(m, 1, 0) : NULL;
    REQUIRE(c != NULL);
    float rows[2 * 96];
    for (size_t i = 0; i < 2 * 96; i++)
        rows[i] = 0.01f * (float)i;
    llama4_batch_item items[3] = {{.token = 5, .position = -1}, {.token = -1, .position = -1, .logits = 1}, {.token = 6, .position = -1, .logits = 1}};
    CHECK_STATUS(llama4_context_decode_embeddings(c, items, 3, sizeof *items, rows, 96, &error), LLAMA4_OK, error);
    CHECK_EQ(llama4_context_sequence_length(c, 0), 3);
    CHECK_STATUS(llama4_context_decode_embeddings(c, items, 3, sizeof *items, rows, 2 * 96, &error), LLAMA4_ERR_ARGUMENT, error);
    CHECK_STATUS(llama4_context_decode_embeddings(c, items, 3, sizeof *items, rows, 95, &error), LLAMA4_ERR_ARGUMENT, error);
    CHECK_STATUS(llama4_context_decode_embeddings(c, items, 3, sizeof *items, rows, 0, &error), LLAMA4_ERR_ARGUMENT, error);
    CHECK_STATUS(llama4_context_decode_embeddings(c, items, 1, sizeof *items, rows, 0, &error), LLAMA4_OK, error); /* none wanted, none given */
    CHECK_STATUS(llama4_context_decode(c, items, 3, sizeof *items, &error), LLAMA4_ERR_ARGUMENT, error);
    items[1].token = -2;
    CHECK_STATUS(llama4_context_decode_embeddings(c, items, 3, sizeof *items, rows, 96, &error), LLAMA4_ERR_ARGUMENT, error);
    CHECK_EQ(llama4_context_sequence_length(c, 0), 4);
    llama4_context_release(c);
    llama4_model_release(m);
}

TEST_MAIN(T(shape), T(vision_paths), T(every_instruction_set_gives_the_same_bits), T(tiles_do_not_depend_on_each_other), T(three_ways_to_show_a_picture),
          T(frames_of_a_video), T(parts_that_are_wrong), T(models_without_eyes), T(more_pictures_than_fit), T(rows_and_items_must_match))
