/* llama4 bench: how fast a model reads and writes on this machine, and what share of the machine that is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "machine.h"
#include "session.h"
#include "streaming.h"

#define MAX_TESTS 16 /* of a kind */
#define PREFIX 1     /* the sequence that grows from depth to depth; sequence 0 is what is measured */

typedef struct arguments {
    settings set;
    const char *prompts, *depths, *cpu, *file;
    int64_t tokens, repeat, buffer, batch;
    int json, routing;
} arguments;

/* One measurement: `tokens` read at once from an empty sequence, or one by one behind `depth` others. */
typedef struct test {
    int decode;
    int64_t tokens, depth;
    double *rates; /* [repeat] tokens per second, ascending */
    stream_use use;
} test;

/* What one token costs, by the shapes of the file's tensors. */
typedef struct cost {
    double bytes;      /* of weights, for a token decoded alone */
    double operations; /* of matrix products for a token of a prompt, which needs no logits; two for each weight */
    double head;       /* operations for logits */
} cost;

typedef struct bench {
    const arguments *arguments;
    session session;
    llama4_model_info info;
    cost cost;
    test tests[2 * MAX_TESTS];
    size_t n_tests;
    llama4_batch_item *items;
    uint64_t random;
    id_list text; /* what is read in place of random tokens, over and over */
    size_t next;
    uint64_t *routing; /* or NULL */
    double bandwidth, peak, disk; /* measured; 0: unknown */
    llama4_memory_info memory; /* at the end */
} bench;

/* ---- What a token costs ---- */

static int has(const char *name, const char *part)
{
    return strstr(name, part) != NULL;
}

static void add_tensor(const bench *b, const llama4_tensor_info *t, int tied, cost *c)
{
    double weights = t->n_dims > 1 ? (double)t->dims[0] * (double)t->dims[1] * (double)t->dims[2] * (double)t->dims[3] : 0;
    double share = 1.0;
    int embedding = has(t->name, "token_embd.") || has(t->name, "embed_tokens.");
    int head = embedding ? tied : strncmp(t->name, "output.", 7) == 0 || has(t->name, "lm_head.");
    if (has(t->name, "vision_model.") || has(t->name, "multi_modal_projector."))
        return;
    if (embedding && t->dims[1] > 0)
        c->bytes += (double)t->bytes / (double)t->dims[1]; /* a row */
    if (embedding && !tied)
        return;
    if (has(t->name, "_exps.") || has(t->name, ".experts."))
        share = b->info.experts > 0 ? (double)b->info.experts_used / b->info.experts : 0;
    c->bytes += share * (double)t->bytes;
    if (head)
        c->head += 2.0 * weights;
    else
        c->operations += 2.0 * share * weights;
}

static int find_cost(bench *b)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    const llama4_model *model = b->session.model;
    int tied = 1;
    b->info.struct_size = sizeof b->info;
    if (llama4_model_get_info(model, &b->info, &error))
        return fail(&error);
    for (int pass = 0; pass < 2; pass++) /* first: is there a matrix for logits alone? */
        for (int32_t i = 0; i < b->info.tensors; i++) {
            llama4_tensor_info t = {.struct_size = sizeof t};
            if (llama4_model_get_tensor(model, i, &t, &error))
                return fail(&error);
            if (pass == 0)
                tied &= strncmp(t.name, "output.", 7) != 0 && !has(t.name, "lm_head.");
            else
                add_tensor(b, &t, tied, &b->cost);
        }
    return 0;
}

/* Bytes of keys and values that a token at this position reads; its own are among them. */
static double kv_bytes(const bench *b, double position)
{
    const llama4_model_info *i = &b->info;
    double seen = position + 1, chunk = i->chunk_size > 0 ? fmod(position, i->chunk_size) + 1 : seen;
    return 2.0 * i->kv_heads * kv_row_bytes(b->session.info.kv_type, i->head_length) *
           (i->rope_layers * chunk + (i->layers - i->rope_layers) * seen);
}

/* ---- Measuring ---- */

/* The text's next token, or one drawn anew each time, so that they meet all experts. */
static int32_t next_token(bench *b)
{
    if (b->text.count)
        return b->text.ids[b->next++ % b->text.count];
    b->random = b->random * 6364136223846793005u + 1442695040888963407u;
    return (int32_t)((b->random >> 33) % (uint64_t)b->info.vocab_size);
}

/* Appends n tokens to a sequence. */
static int decode(bench *b, int sequence, int64_t n)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    for (int64_t i = 0; i < n; i++) {
        b->items[i] = (llama4_batch_item){.token = next_token(b), .sequence = sequence, .position = -1, .logits = i + 1 == n};
    }
    if (llama4_context_decode(b->session.context, b->items, (size_t)n, sizeof *b->items, &error))
        return fail(&error);
    return interrupted() ? 128 + interrupted() : 0;
}

static int empty(bench *b, int sequence)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    return llama4_context_truncate(b->session.context, sequence, 0, &error) ? fail(&error) : 0;
}

/* Goes on from the depth of the test before: depths ascend. */
static int grow_prefix(bench *b, int64_t depth)
{
    int64_t have = llama4_context_sequence_length(b->session.context, PREFIX);
    return depth > have ? decode(b, PREFIX, depth - have) : 0;
}

static int run_once(bench *b, test *t, double *rate)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    int status = 0;
    if (t->decode && t->depth > 0) {
        if (llama4_context_fork(b->session.context, PREFIX, 0, &error))
            return fail(&error);
    } else {
        status = empty(b, 0);
    }
    const llama4_memory_info before = stream_state(b->session.model);
    double started = now();
    if (status == 0 && !t->decode)
        status = decode(b, 0, t->tokens);
    for (int64_t i = 0; t->decode && status == 0 && i < t->tokens; i++)
        status = decode(b, 0, 1);
    double seconds = now() - started;
    *rate = seconds > 0 ? (double)t->tokens / seconds : 0;
    b->memory = stream_state(b->session.model);
    stream_add(&t->use, &before, &b->memory, seconds);
    return status;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int run_test(bench *b, test *t)
{
    int status = 0;
    b->session.bar.label = "reading";
    if (t->decode)
        status = grow_prefix(b, t->depth);
    for (int64_t i = 0; i < b->arguments->repeat && status == 0; i++) {
        progress_start(&b->session.bar, "reading");
        status = run_once(b, t, &t->rates[i]);
        progress_end(&b->session.bar);
    }
    qsort(t->rates, (size_t)b->arguments->repeat, sizeof *t->rates, by_value);
    return status;
}

/* Not measured: memory is taken, and weights are seen, for the first time. */
static int warm_up(bench *b)
{
    int64_t most = b->tests[0].decode ? 1 : b->tests[0].tokens, batch = b->session.info.batch_size;
    return decode(b, 0, most < batch ? most : batch);
}

static int run_tests(bench *b)
{
    const session *s = &b->session;
    int status = warm_up(b);
    b->peak = machine_int8_peak(s->info.threads, s->info.cpu_level);
    for (size_t i = 0; i < b->n_tests && status == 0; i++)
        status = run_test(b, &b->tests[i]);
    double peak = machine_int8_peak(s->info.threads, s->info.cpu_level);
    b->peak = peak > b->peak ? peak : b->peak;
    return status;
}

/* ---- Results ---- */

static double median(const bench *b, const test *t)
{
    size_t n = (size_t)b->arguments->repeat;
    return (t->rates[(n - 1) / 2] + t->rates[n / 2]) / 2;
}

/* Bytes per second of weights, keys and values that a decode at this rate reads. */
static double bytes_rate(const bench *b, const test *t)
{
    return t->decode ? median(b, t) * (b->cost.bytes + kv_bytes(b, (double)t->depth + (double)(t->tokens - 1) / 2)) : NAN;
}

static double operations_rate(const bench *b, const test *t)
{
    return t->decode ? NAN : median(b, t) * (b->cost.operations + b->cost.head / (double)t->tokens);
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

static void print_share(double share)
{
    if (isfinite(share))
        out_print("  %12.1f %%", 100 * share);
    else
        out_print("  %14s", "");
}

static void print_machine(const bench *b, const char *name)
{
    const llama4_context_info *c = &b->session.info;
    out_print("machine  %s, %d thread%s, %s\n", name, c->threads, c->threads == 1 ? "" : "s", cpu_name(c->cpu_level));
    out_print("at most  ");
    if (b->bandwidth > 0)
        out_print("%.1f GB/s read from memory", b->bandwidth / 1e9);
    else
        out_print("n/a GB/s");
    if (b->peak > 0)
        out_print(", %.0f billion int8 operations/s", b->peak / 1e9);
    else
        out_print(", n/a int8 operations/s");
    if (b->disk > 0)
        out_print(", %.2f GB/s from the disk", b->disk / 1e9);
    out_print("\n");
}

static void print_streaming(const bench *b)
{
    out_print("\n%-8s %6s %6s  %12s  %12s  %12s  %14s  %14s\n", "experts", "tokens", "depth", "in memory", "read a token", "read", "waited",
              "of the disk");
    for (size_t k = 0; k < b->n_tests; k++) {
        const test *t = &b->tests[k];
        out_print("%-8s %6lld %6lld  %10.1f %%  %9.1f MB  %7.2f GB/s", t->decode ? "decode" : "prefill", (long long)t->tokens, (long long)t->depth,
                  100 * stream_hit_share(&t->use), (double)t->use.bytes / (double)(t->tokens * b->arguments->repeat) / 1e6,
                  stream_rate(&t->use) / 1e9);
        print_share(stream_waited(&t->use));
        print_share(stream_disk_share(&t->use, b->disk));
        out_print("\n");
    }
}

static void print_table(const bench *b, const char *name)
{
    const llama4_model_info *i = &b->info;
    out_print("model    ");
    if (i->name[0]) {
        out_safe(i->name);
        out_print(", ");
    }
    out_print("%d layers, mostly %s, %.2f GB, loaded in %.2f s\n", i->layers, i->type, (double)i->tensor_bytes / 1e9,
              b->session.load_seconds);
    out_print("a token  %.1f MB of weights, %.1f million operations\n", b->cost.bytes / 1e6,
              (b->cost.operations + b->cost.head) / 1e6);
    print_machine(b, name);
    if (b->memory.streaming)
        stream_print_state(&b->memory);
    out_print("\n%-8s %6s %6s  %12s  %12s  %12s  %14s  %14s\n", "", "tokens", "depth", "tokens/s", "slowest", "fastest",
              "of bandwidth", "of int8 peak");
    for (size_t k = 0; k < b->n_tests; k++) {
        const test *t = &b->tests[k];
        out_print("%-8s %6lld %6lld  %12.2f  %12.2f  %12.2f", t->decode ? "decode" : "prefill", (long long)t->tokens,
                  (long long)t->depth, median(b, t), t->rates[0], t->rates[b->arguments->repeat - 1]);
        print_share(ratio(bytes_rate(b, t), b->bandwidth));
        print_share(ratio(operations_rate(b, t), b->peak));
        out_print("\n");
    }
    if (b->memory.streaming)
        print_streaming(b);
    if (b->routing)
        stream_print_routing(b->routing, &b->info);
}

static void json_real(const char *name, double value)
{
    out_print(", \"%s\": ", name);
    out_json_real(value);
}

static void print_json(const bench *b, const char *name)
{
    const llama4_model_info *i = &b->info;
    const llama4_context_info *c = &b->session.info;
    out_print("{\"model\": ");
    out_json(i->name, strlen(i->name));
    out_print(", \"type\": ");
    out_json(i->type, strlen(i->type));
    out_print(", \"layers\": %d, \"tensor_bytes\": %lld, \"machine\": ", i->layers, (long long)i->tensor_bytes);
    out_json(name, strlen(name));
    out_print(", \"threads\": %d, \"cpu\": \"%s\", \"batch\": %d", c->threads, cpu_name(c->cpu_level), c->batch_size);
    json_real("bandwidth", b->bandwidth > 0 ? b->bandwidth : NAN);
    json_real("int8_peak", b->peak > 0 ? b->peak : NAN);
    if (b->memory.streaming)
        json_real("disk", b->disk > 0 ? b->disk : NAN);
    json_real("load_seconds", b->session.load_seconds);
    json_real("bytes_per_token", b->cost.bytes);
    json_real("operations_per_token", b->cost.operations);
    json_real("operations_for_logits", b->cost.head);
    out_print(", \"tests\": [");
    for (size_t k = 0; k < b->n_tests; k++) {
        const test *t = &b->tests[k];
        out_print("%s{\"test\": \"%s\", \"tokens\": %lld, \"depth\": %lld", k ? ", " : "", t->decode ? "decode" : "prefill",
                  (long long)t->tokens, (long long)t->depth);
        json_real("tokens_per_second", median(b, t));
        out_print(", \"rates\": [");
        for (int64_t r = 0; r < b->arguments->repeat; r++) {
            out_print(r ? ", " : "");
            out_json_real(t->rates[r]);
        }
        out_print("]");
        json_real("bytes_per_second", bytes_rate(b, t));
        json_real("bandwidth_share", ratio(bytes_rate(b, t), b->bandwidth));
        json_real("operations_per_second", operations_rate(b, t));
        json_real("peak_share", ratio(operations_rate(b, t), b->peak));
        if (b->memory.streaming) {
            out_print(", \"requests\": %lld, \"hits\": %lld, \"bytes_read\": %lld", (long long)t->use.requests, (long long)t->use.hits,
                      (long long)t->use.bytes);
            json_real("read_seconds", t->use.read);
            json_real("wait_seconds", t->use.waited);
            json_real("seconds", t->use.seconds);
            json_real("disk_share", stream_disk_share(&t->use, b->disk));
        }
        out_print("}");
    }
    out_print("]");
    if (b->memory.streaming)
        out_print(", \"memory\": {\"limit\": %lld, \"used\": %lld, \"resident\": %lld, \"expert\": %lld, \"experts\": %lld, \"slots\": %lld, "
                  "\"read_ahead\": %lld, \"wasted\": %lld, \"guesses\": %lld, \"guesses_right\": %lld, \"direct\": %d}",
                  (long long)b->memory.limit_bytes, (long long)b->memory.used_bytes, (long long)b->memory.resident_bytes,
                  (long long)b->memory.expert_bytes, (long long)b->memory.expert_count, (long long)b->memory.expert_slots,
                  (long long)b->memory.read_ahead, (long long)b->memory.wasted, (long long)b->memory.guesses,
                  (long long)b->memory.guesses_right, (int)b->memory.direct);
    if (b->routing) {
        out_print(", \"routing\": ");
        stream_print_routing_json(b->routing, &b->info);
    }
    out_print("}\n");
}

/* ---- The command ---- */

/* Numbers separated by commas, ascending afterwards. Returns how many, or -1 after a message. */
static int read_list(const char *what, const char *text, int64_t min, int64_t *out)
{
    int n = 0;
    for (const char *p = text; *p; n++) {
        char number[16];
        size_t length = strcspn(p, ",");
        int fits = length < sizeof number && n < MAX_TESTS;
        if (fits) {
            memcpy(number, p, length);
            number[length] = 0;
        }
        if (!fits || !parse_int(number, min, 16777216, &out[n])) {
            options_mistake(&bench_command,
                            "--%s needs at most %d whole numbers from %lld to 16777216 such as 512,4096, not '%.100s'", what,
                            MAX_TESTS, (long long)min, text);
            return -1;
        }
        for (int i = n; i > 0 && out[i] < out[i - 1]; i--) {
            int64_t larger = out[i - 1];
            out[i - 1] = out[i];
            out[i] = larger;
        }
        p += length;
        p += *p == ',' && p[1];
    }
    return n;
}

static void add_test(bench *b, int decode, int64_t tokens, int64_t depth, int64_t limit)
{
    if (limit == 0 || depth + tokens <= limit)
        b->tests[b->n_tests++] = (test){.decode = decode, .tokens = tokens, .depth = depth};
}

/* The list of tests; defaults that are too long for the model are left out. */
static int plan(bench *b, const char *path)
{
    const arguments *a = b->arguments;
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model_params params;
    llama4_model_info info = {.struct_size = sizeof info};
    llama4_model *model;
    int64_t prompts[MAX_TESTS], depths[MAX_TESTS];
    int n_prompts = read_list("prompt", a->prompts ? a->prompts : "512,4096", 1, prompts);
    int n_depths = n_prompts < 0 ? -1 : read_list("depth", a->depths ? a->depths : "0,512,2048,8000", 0, depths);
    if (n_depths < 0)
        return 2;
    llama4_model_params_init(&params, sizeof params);
    params.flags = LLAMA4_MODEL_HEADER_ONLY;
    if (llama4_model_open(path, &params, &model, &error))
        return fail(&error);
    llama4_status status = llama4_model_get_info(model, &info, &error);
    llama4_model_release(model);
    if (status)
        return fail(&error);
    for (int i = 0; i < n_prompts; i++)
        add_test(b, 0, prompts[i], 0, a->prompts ? 0 : info.context_length);
    for (int i = 0; i < n_depths; i++)
        add_test(b, 1, a->tokens, depths[i], a->depths ? 0 : info.context_length);
    return b->n_tests ? 0 : fail_text("nothing to measure");
}

static int prepare(bench *b)
{
    int64_t most = 1;
    for (size_t i = 0; i < b->n_tests; i++) {
        test *t = &b->tests[i];
        int64_t positions = t->depth + t->tokens;
        most = positions > most ? positions : most;
        t->rates = calloc((size_t)b->arguments->repeat, sizeof *t->rates);
        if (!t->rates)
            return fail_text("out of memory");
    }
    b->items = calloc((size_t)most, sizeof *b->items);
    return b->items ? 0 : fail_text("out of memory");
}

static int read_text(bench *b)
{
    buffer text = {0};
    int status = 1;
    if (!b->session.vocab)
        return fail_text("the model has no vocabulary for --file");
    if (read_file(b->arguments->file, &text))
        status = ids_add_text(&b->text, b->session.vocab, text.data, text.size, LLAMA4_TOKENIZE_BOS);
    buffer_free(&text);
    return status;
}

static int measure(bench *b, const char *path)
{
    settings set = b->arguments->set;
    int status = prepare(b);
    for (size_t i = 0; i < b->n_tests; i++) {
        int64_t positions = b->tests[i].depth + b->tests[i].tokens;
        set.context_length = positions > set.context_length ? positions : set.context_length;
    }
    if (status == 0)
        status = session_open(&b->session, path, &set);
    if (status == 0)
        status = find_cost(b);
    if (status == 0 && b->arguments->file)
        status = read_text(b);
    if (status == 0)
        status = run_tests(b);
    if (status == 0 && b->arguments->routing) {
        b->routing = stream_routing(b->session.context, &b->info);
        status = b->routing ? 0 : 1;
    }
    return status;
}

static int run(int argc, char **argv)
{
    arguments a = {.set = {.top_p = 1, .sequences = 2}, .tokens = 32, .repeat = 3, .buffer = 1024};
    const option options[] = {
        {"prompt", 'p', OPTION_TEXT, &a.prompts, "N,...", "tokens to read at once (default 512,4096)", 0, 0},
        {"depth", 'd', OPTION_TEXT, &a.depths, "N,...",
         "tokens that come before those decoded one by one\n(default 0,512,2048,8000)", 0, 0},
        {"tokens", 'n', OPTION_INT, &a.tokens, "N", "tokens to decode one by one (default 32)", 1, 1000000},
        {"repeat", 'r', OPTION_INT, &a.repeat, "N", "times that each test runs; the median counts (default 3)", 1, 1000},
        ENGINE_OPTIONS(&a),
        {"buffer", 0, OPTION_INT, &a.buffer, "MB",
         "memory to measure the bandwidth on, when the model is gone;\n0: do not measure it (default 1024)", 0, 65536},
        {"file", 'f', OPTION_TEXT, &a.file, "FILE", "take tokens from this text, over and over, not at random", 0, 0},
        {"routing", 0, OPTION_FLAG, &a.routing, NULL, "print how many tokens went to each expert of each layer", 0, 0},
        {"json", 0, OPTION_FLAG, &a.json, NULL, "print one JSON object", 0, 0},
    };
    const char *path;
    char name[64];
    int n;
    bench b = {.arguments = &a, .random = 1};
    int status = options_parse(&bench_command, options, sizeof options / sizeof *options, argc, argv, &path, &n);
    if (status != OPTIONS_GO_ON)
        return status;
    status = parse_cpu(&bench_command, a.cpu, &a.set.cpu_level);
    if (status == 0)
        status = parse_kv(&bench_command, a.set.kv, &a.set.kv_type);
    a.set.batch_size = (int32_t)a.batch;
    if (status == 0)
        status = plan(&b, path);
    if (status == 0)
        status = measure(&b, path);
    llama4_context_info used = b.session.info; /* outlives the session */
    double load_seconds = b.session.load_seconds;
    session_close(&b.session);
    b.session.info = used;
    b.session.load_seconds = load_seconds;
    if (status == 0 && a.buffer > 0)
        b.bandwidth = machine_bandwidth(used.threads, used.cpu_level, (size_t)a.buffer * 1000000);
    if (status == 0 && b.memory.streaming)
        b.disk = stream_disk_rate(path);
    if (status == 0 && interrupted())
        status = 128 + interrupted();
    machine_name(name, sizeof name);
    if (status == 0 && a.json)
        print_json(&b, name);
    else if (status == 0)
        print_table(&b, name);
    for (size_t i = 0; i < b.n_tests; i++)
        free(b.tests[i].rates);
    free(b.items);
    free(b.routing);
    ids_free(&b.text);
    return status;
}

const command bench_command = {
    "bench",
    "MODEL",
    "Measures how fast a model reads prompts and decodes, and what share of the machine that is.",
    "'of bandwidth' is what decoding reads, weights, keys and values, against what all threads can read from memory;\n"
    "'of int8 peak' is the matrix products of a prompt against the fastest 8-bit integer products. Both limits are\n"
    "measured in the same run. Where experts are streamed, 'of the disk' is what was read per second of the whole test\n"
    "against what the disk gives by direct reads.\n",
    1,
    1,
    run};
