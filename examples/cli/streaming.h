/* What streamed experts cost: counts before and after a piece of work, and how tokens were routed. */
#ifndef CLI_STREAMING_H
#define CLI_STREAMING_H

#include <llama4/llama4.h>

/* Differences of llama4_memory_info, summed over pieces of work. */
typedef struct stream_use {
    int64_t requests, hits, bytes;
    double waited, read, seconds;
} stream_use;

/* The state of a model; all zero if it does not stream. */
llama4_memory_info stream_state(llama4_model *model);

/* Adds what happened since `before`, in `seconds`. */
void stream_add(stream_use *use, const llama4_memory_info *before, const llama4_memory_info *after, double seconds);

double stream_hit_share(const stream_use *use); /* of requests; NaN if there were none, and so on: */
double stream_rate(const stream_use *use);      /* bytes read per second while something was being read */
double stream_waited(const stream_use *use);    /* share of the time */
double stream_disk_share(const stream_use *use, double disk); /* bytes read per second of all the time, as a share of `disk` */

/* Bytes per second that the disk gives by direct reads of a model's file, measured; 0: unknown. */
double stream_disk_rate(const char *path);

/* What of the memory is what, on one line of a table. */
void stream_print_state(const llama4_memory_info *m);

/* Tokens that each expert was chosen for, [layers][experts], for free; NULL after a message. */
uint64_t *stream_routing(const llama4_context *context, const llama4_model_info *info);

/* Of those layers that have any: a table, or a JSON array of {"layer", "tokens"}. */
void stream_print_routing(const uint64_t *counts, const llama4_model_info *info);
void stream_print_routing_json(const uint64_t *counts, const llama4_model_info *info);

#endif
