/* llama4 tokenize: text in, token ids out. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "session.h"

/* One token per line: its id and its bytes, those that are no printable ASCII or whole UTF-8 characters as \xNN. */
static int print_piece(const llama4_vocab *vocab, int32_t id)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    size_t n;
    llama4_status status = llama4_vocab_token_bytes(vocab, id, NULL, 0, &n, &error);
    char *bytes = status ? NULL : malloc(n + 1);
    if (status == LLAMA4_OK && !bytes)
        return fail_text("out of memory");
    if (status == LLAMA4_OK && n > 0)
        status = llama4_vocab_token_bytes(vocab, id, bytes, n, &n, &error);
    if (status) {
        free(bytes);
        return fail(&error);
    }
    out_print("%d\t", (int)id);
    for (size_t i = 0, step; i < n; i += step) {
        step = utf8_length(bytes + i, n - i);
        unsigned char c = (unsigned char)bytes[i];
        if (step == 0 || c < 0x20 || c == 0x7f || c == '\\') {
            step = 1;
            if (c == '\\')
                out_print("\\\\");
            else
                out_print("\\x%02x", c);
        } else {
            out_write(bytes + i, step);
        }
    }
    out_print("\n");
    free(bytes);
    return 0;
}

static int print_ids(const llama4_vocab *vocab, const id_list *list, int pieces)
{
    int status = 0;
    for (size_t i = 0; i < list->count && status == 0; i++) {
        if (pieces)
            status = print_piece(vocab, list->ids[i]);
        else
            out_print(i ? " %d" : "%d", (int)list->ids[i]);
    }
    if (!pieces)
        out_print("\n");
    return status;
}

static int run(int argc, char **argv)
{
    int bos = 0, special = 0, pieces = 0, n;
    const char *file = NULL, *operands[2];
    const option options[] = {
        {"file", 'f', OPTION_TEXT, &file, "FILE", "the text from a file; '-' is standard input", 0, 0},
        {"pieces", 0, OPTION_FLAG, &pieces, NULL, "one token per line, with the bytes it stands for", 0, 0},
        {"special", 0, OPTION_FLAG, &special, NULL, "recognise names of special tokens, such as <|eot|>", 0, 0},
        {"bos", 0, OPTION_FLAG, &bos, NULL, "put <|begin_of_text|> first", 0, 0},
    };
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_vocab *vocab = NULL;
    buffer text = {0};
    id_list list = {0};
    int status = options_parse(&tokenize_command, options, sizeof options / sizeof *options, argc, argv, operands, &n);
    if (status != OPTIONS_GO_ON)
        return status;
    if ((n == 2) == (file != NULL))
        return options_mistake(&tokenize_command, "give the text either as TEXT or with -f");
    if (n == 2 && strcmp(operands[1], "-") == 0)
        file = "-";
    status = 0;
    if (file ? !read_file(file, &text) : !buffer_add(&text, operands[1], strlen(operands[1])))
        status = interrupted() ? 128 + interrupted() : 1;
    if (status == 0 && llama4_vocab_open(operands[0], NULL, &vocab, &error))
        status = fail(&error);
    if (status == 0)
        status = ids_add_text(&list, vocab, text.data, text.size,
                              (bos ? LLAMA4_TOKENIZE_BOS : 0) | (special ? LLAMA4_TOKENIZE_SPECIAL : 0));
    if (status == 0)
        status = print_ids(vocab, &list, pieces);
    llama4_vocab_release(vocab);
    ids_free(&list);
    buffer_free(&text);
    return status;
}

const command tokenize_command = {
    "tokenize",
    "MODEL [TEXT]",
    "Prints the token ids of a text, on one line.",
    "MODEL is a GGUF file, a tokenizer.json, a tiktoken tokenizer.model, or a directory with one of the last two.\n"
    "TEXT alone as '-' is standard input.\n",
    1,
    2,
    run};
