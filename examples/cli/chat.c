/* llama4 chat: lines in, answers out, one conversation. The context keeps what was said; each turn adds only what is new. */
#include <signal.h>
#include <string.h>

#include "commands.h"
#include "picture.h"

typedef struct conversation {
    const settings *set;
    session *session;
    const char *system;
    buffer system_text;            /* of /system */
    pictures shown;                /* by /image, for the next message */
    int started;                   /* the context holds messages */
    int32_t pending;               /* last token of the last answer: reported, not yet in the context; -1: none */
    int terminal;                  /* somebody types */
    int failed;                    /* a message got no answer */
    char last;                     /* byte that was printed last */
    llama4_generate_result result; /* of the last answer */
} conversation;

static const char help_text[] = "/help          this list\n"
                                "/reset         forget the conversation\n"
                                "/system TEXT   forget the conversation and begin with this system message\n"
                                "/image FILE    show a PNG or JPEG picture with the next message\n"
                                "/stats         speed of the last answer, and memory\n"
                                "/quit          leave (or Ctrl-D)\n"
                                "A backslash at the end of a line continues the message on the next. Ctrl-C stops an answer.\n";

static int32_t on_text(void *user, int32_t token, const char *text, size_t length)
{
    conversation *c = user;
    progress_end(&c->session->bar);
    if (token >= 0)
        c->pending = token;
    if (length > 0) {
        out_write(text, length);
        out_flush();
        c->last = text[length - 1];
    }
    return out_failed() || interrupted();
}

static int reset(conversation *c)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    c->started = 0;
    c->pending = -1;
    pictures_clear(&c->shown);
    return llama4_context_truncate(c->session->context, 0, 0, &error) ? fail(&error) : 0;
}

/* The ids that the context lacks: the end of the last answer, closed if it was cut off, and the new message. */
static int next_prompt(const conversation *c, const char *text, size_t length, id_list *out)
{
    const llama4_vocab *vocab = c->session->vocab;
    if (!c->started)
        return ids_add_pictures(out, vocab, c->system, &c->shown, text, length, 0);
    if (c->pending >= 0 && !ids_add(out, c->pending))
        return 1;
    if (c->pending < 0 || !(llama4_vocab_token_flags(vocab, c->pending) & LLAMA4_TOKEN_STOP)) {
        int32_t eot = llama4_vocab_find(vocab, "<|eot|>", strlen("<|eot|>"));
        if (eot >= 0 && !ids_add(out, eot))
            return 1;
    }
    return ids_add_pictures(out, vocab, NULL, &c->shown, text, length, LLAMA4_CHAT_NO_BOS);
}

static void say_full(const conversation *c)
{
    fprintf(stderr, "llama4: the context of %lld positions is full: /reset begins a new conversation\n",
            (long long)c->session->info.context_length);
}

/* Sends one message and streams the answer. Returns 0, or 1 if there was none. */
static int ask(conversation *c, const char *text, size_t length)
{
    session *s = c->session;
    id_list prompt = {0};
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_generate_params params = {.struct_size = sizeof params, .sampler = s->sampler};
    llama4_generate_result result = {.struct_size = sizeof result};
    llama4_status status;
    int32_t pending = c->pending;
    int failed = next_prompt(c, text, length, &prompt);
    if (failed) {
        ids_free(&prompt);
        return 1;
    }
    params.max_tokens = c->set->max_tokens > 0 ? c->set->max_tokens : 0;
    params.embeddings = c->shown.rows;
    params.n_embeddings = c->shown.n_rows;
    c->last = 0;
    do { /* a Ctrl-C that came as the last answer ended may still be waiting in the context: it is not meant for this one */
        c->pending = -1;
        progress_start(&s->bar, "reading");
        status = llama4_context_generate(s->context, 0, prompt.ids, prompt.count, &params, on_text, c, &result, &error);
        progress_end(&s->bar);
    } while (status == LLAMA4_ERR_CANCELLED && c->pending < 0 && !interrupted());
    ids_free(&prompt);
    if (c->pending >= 0) {
        c->started = 1;
        pictures_clear(&c->shown);
        if (c->last != '\n')
            out_write("\n", 1);
        out_flush();
    } else {
        c->pending = pending; /* nothing came: the context is as it was */
    }
    if (status == LLAMA4_OK)
        c->result = result;
    if (status == LLAMA4_OK && c->set->stats)
        print_stats(s, &result);
    if (status == LLAMA4_ERR_CONTEXT_FULL || (status == LLAMA4_OK && result.stopped == LLAMA4_STOPPED_CONTEXT))
        say_full(c);
    else if (status && status != LLAMA4_ERR_CANCELLED)
        fail(&error);
    return status && status != LLAMA4_ERR_CANCELLED;
}

/* A line that begins with a slash. Returns 1 to leave. */
static int obey(conversation *c, const char *line)
{
    if (strcmp(line, "/quit") == 0 || strcmp(line, "/exit") == 0)
        return 1;
    if (strcmp(line, "/help") == 0) {
        fputs(help_text, stderr);
    } else if (strcmp(line, "/reset") == 0) {
        c->failed |= reset(c);
    } else if (strncmp(line, "/system ", 8) == 0) {
        c->system_text.size = 0;
        if (buffer_add(&c->system_text, line + 8, strlen(line + 8))) {
            c->system = c->system_text.data;
            c->failed |= reset(c);
        }
    } else if (strncmp(line, "/image ", 7) == 0) {
        c->failed |= pictures_add(&c->shown, c->session, line + 7 + strspn(line + 7, " ")) != 0;
    } else if (strcmp(line, "/stats") == 0) {
        if (c->result.struct_size)
            print_stats(c->session, &c->result);
        else
            fprintf(stderr, "llama4: nothing was asked yet\n");
    } else {
        fprintf(stderr, "llama4: unknown command '%.40s'; /help lists them\n", line);
        c->failed |= !c->terminal;
    }
    return 0;
}

static void talk(conversation *c)
{
    buffer line = {0};
    int again = 0; /* Ctrl-C was the last thing that was typed */
    while (!out_failed()) {
        if (!again) /* a second Ctrl-C may have come since the first was answered */
            interrupt_clear();
        if (c->terminal)
            fprintf(stderr, "> ");
        int got = read_line(&line);
        if (got < 0) { /* Ctrl-C at the prompt; SIGTERM, and anything that is no terminal, ends at once */
            if (again || !c->terminal || interrupted() != SIGINT)
                break;
            interrupt_clear();
            fprintf(stderr, "\n(Ctrl-C again, or Ctrl-D, leaves)\n");
            again = 1;
            continue;
        }
        if (got == 0) {
            if (c->terminal)
                fprintf(stderr, "\n");
            break;
        }
        again = 0;
        if (line.size == 0)
            continue;
        if (line.data[0] == '/') {
            if (obey(c, line.data))
                break;
            continue;
        }
        c->failed |= ask(c, line.data, line.size);
        if (interrupted() && (!c->terminal || interrupted() != SIGINT))
            break;
    }
    buffer_free(&line);
}

static int run(int argc, char **argv)
{
    settings set = SETTINGS_DEFAULT;
    const option options[] = {SETTINGS_OPTIONS(&set)};
    const char *model;
    int n;
    session s = {0};
    conversation c = {.set = &set, .session = &s, .pending = -1};
    int status = options_parse(&chat_command, options, sizeof options / sizeof *options, argc, argv, &model, &n);
    if (status != OPTIONS_GO_ON)
        return status;
    status = parse_kv(&chat_command, set.kv, &set.kv_type);
    if (status == 0)
        status = session_open(&s, model, &set);
    if (status == 0 && !has_chat_format(s.vocab))
        status = fail_text("%s: %s", model,
                           s.vocab ? "the vocabulary has no chat format: only 'llama4 run --raw' works"
                                   : "the model has no vocabulary: a chat needs one (--vocab)");
    if (status == 0) {
        c.system = set.system;
        c.terminal = is_terminal(stdin);
        if (c.terminal)
            fprintf(stderr, "Ask something; /help lists the commands, Ctrl-D leaves.\n");
        talk(&c);
        status = interrupted() && (!c.terminal || interrupted() != SIGINT) ? 128 + interrupted() : c.failed && !c.terminal;
    }
    buffer_free(&c.system_text);
    pictures_clear(&c.shown);
    session_close(&s);
    return status;
}

const command chat_command = {
    "chat",
    "MODEL",
    "Talks: reads messages line by line and streams the answers.",
    "Commands inside the chat: /help, /reset, /system TEXT, /image FILE, /stats, /quit. A backslash at the end of a line\n"
    "continues the message on the next one. Ctrl-C stops an answer, at the prompt a second one leaves.\n",
    1,
    1,
    run};
