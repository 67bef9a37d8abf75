/* Pictures for a prompt: opened, encoded, and put in front of a message. */
#ifndef CLI_PICTURE_H
#define CLI_PICTURE_H

#include "session.h"

typedef struct pictures {
    llama4_embeddings **items;
    size_t count, capacity;
    float *rows;             /* of all of them, one behind the other */
    size_t n_rows, row_room; /* numbers */
    int64_t tokens;          /* that they take in a prompt */
} pictures;

/* Opens and encodes one. 0, or the exit status after a message. */
int pictures_add(pictures *p, session *s, const char *path);

/* Forgets them all. */
void pictures_clear(pictures *p);

/* Appends the ids of messages with the header of the answer, as ids_add_chat; the pictures stand before the user's text. */
int ids_add_pictures(id_list *list, const llama4_vocab *vocab, const char *system, const pictures *p, const char *user, size_t user_length,
                     uint32_t flags);

#endif
